"""One training step, in the reference's order. Nothing in it waits for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from swav_dali.method.codes import assign_codes
from swav_dali.method.larc import Larc
from swav_dali.method.loss import swapped_loss
from swav_dali.method.queue import FeatureQueue
from swav_dali.model.net import SwavNet


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What stays the same in every step; see swav_dali.config.sections.SwavConfig for the meaning."""

    temperature: float
    epsilon: float
    sinkhorn_iterations: int
    assign_crops: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step leaves behind, on the device and without graph.

    Attributes:
        loss: scalar, the mean over this rank's batch.
        embeddings: (crops, batch, dim), unit rows.
        scores: (crops, batch, prototypes), cosines.
        codes: (assigned, batch, prototypes), rows sum to 1.
    """

    loss: Tensor
    embeddings: Tensor
    scores: Tensor
    codes: Tensor


def train_step(
    net: nn.Module,
    groups: Sequence[Tensor],
    *,
    optimizer: Larc,
    queue: FeatureQueue | None,
    learning_rate: float,
    freeze_prototypes: bool,
    options: StepOptions,
    autocast_dtype: torch.dtype | None,
) -> StepResult:
    """Forward, codes, loss, backward and update.

    Args:
        net: a SwavNet or its DistributedDataParallel wrapper.
        groups: see pipelines.batch.MultiCropBatch.
        optimizer: over all parameters of `net`.
        queue: filled and, once full, used; None before its start.
        learning_rate: of this step.
        freeze_prototypes: leave the prototypes where they are; their momentum and decay wait too.
        options: temperatures and crops.
        autocast_dtype: of the trunk and the head, None for none.
    """
    model = net.module if isinstance(net, DistributedDataParallel) else net
    assert isinstance(model, SwavNet)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    model.normalize_prototypes_()
    with torch.autocast(groups[0].device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None):
        embeddings, scores = net(groups)
    embeddings = embeddings.detach()
    codes = assign_codes(
        embeddings,
        scores.detach(),
        model.prototypes.weight.detach(),
        queue=queue,
        assign_crops=options.assign_crops,
        epsilon=options.epsilon,
        iterations=options.sinkhorn_iterations,
    )
    loss = swapped_loss(scores, codes, options.assign_crops, options.temperature)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if freeze_prototypes:
        model.prototypes.weight.grad = None
    optimizer.step()
    return StepResult(loss=loss.detach(), embeddings=embeddings, scores=scores.detach(), codes=codes)
