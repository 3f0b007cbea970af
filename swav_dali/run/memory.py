"""What a run takes of memory, counted before it starts: every tensor but those that libraries make for themselves.

The network runs once on tensors without numbers, and what autograd keeps for backward is added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from swav_dali.config.sections import RunConfig
from swav_dali.method.forward import forward_loss
from swav_dali.method.queue import FeatureQueue
from swav_dali.model.net import SwavNet, made_net
from swav_dali.model.recompute import recompute_blocks

_FEW, _MORE = 2, 4
"""Images of the two counts; what a step keeps grows with its images in a straight line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes of one rank.

    Attributes:
        parameters: numbers that learn.
        weights: parameters and running statistics.
        gradients: of all parameters.
        optimizer: momentum, and AdamW's second one.
        queue: of this rank.
        kept: what the forward of one part of the batch keeps for backward.
    """

    parameters: int
    weights: int
    gradients: int
    optimizer: int
    queue: int
    kept: int

    @property
    def total(self) -> int:
        """All of it, at the end of a forward."""
        return self.weights + self.gradients + self.optimizer + self.queue + self.kept


def footprint(config: RunConfig, *, num_ranks: int, dtype: torch.dtype | None) -> Footprint:
    """What a rank holds at its fullest, without workspaces of libraries, fragmentation and the loader's buffers.

    Args:
        config: of the run.
        num_ranks: ranks of the launch.
        dtype: of the autocast, None for none.

    Raises:
        ConfigError: a network or a queue that cannot be made.
    """
    asks_its_numbers = config.model.arch.startswith("timm:")  # while it is made, so they have to be there
    made = made_net(config.model) if asks_its_numbers else None
    with FakeTensorMode(allow_non_fake_inputs=True):
        net = made_net(config.model) if made is None else made
        if config.model.recompute:
            recompute_blocks(net.trunk)
        few, more = (_kept(net, config, images, dtype) for images in (_FEW, _MORE))
        parameters = sum(parameter.numel() for parameter in net.parameters())
        weights = sum(_bytes(tensor) for tensor in (*net.parameters(), *net.buffers()))
    images = config.data.batch_size // config.optim.micro_batches
    gradients = 4 * parameters
    return Footprint(
        parameters=parameters,
        weights=weights,
        gradients=gradients,
        optimizer=gradients * (2 if config.optim.optimizer == "adamw" else 1),
        queue=_queue_bytes(config, num_ranks),
        kept=few + (more - few) * (images - _FEW) // (_MORE - _FEW),
    )


def _kept(net: SwavNet, config: RunConfig, images: int, dtype: torch.dtype | None) -> int:
    """Bytes of every storage that is saved for backward and no parameter."""
    own = {parameter.untyped_storage()._cdata for parameter in net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    groups = [torch.empty(images, group.num, 3, group.size, group.size, dtype=dtype) for group in config.data.crops]
    with torch.autograd.graph.saved_tensors_hooks(keep, _as_it_is):
        made = forward_loss(
            net, groups, net.prototypes.weight, queued=None, swav=config.swav, autocast_dtype=dtype, heads=net.heads
        )
    assert made.loss.requires_grad  # while it lives, so does what was kept, and no storage is counted as another
    return sum(size for storage, size in kept.items() if storage not in own)


def _as_it_is(tensor: Any) -> Any:
    return tensor


def _queue_bytes(config: RunConfig, num_ranks: int) -> int:
    if config.swav.queue_length == 0:
        return 0
    queue = FeatureQueue(
        length=config.swav.queue_length,
        num_assign=len(config.swav.assign_crops),
        embedding_dim=config.model.embedding_dim,
        batch_size=config.data.batch_size,
        world_size=num_ranks,
        device=torch.device("meta"),
    )
    return _bytes(queue.rows)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
