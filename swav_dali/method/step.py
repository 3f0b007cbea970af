"""One training step, in the reference's order. Nothing in it waits for the device.

Its halves are free functions: `forward_loss` and backward, or `backward_in_parts` for a batch that does not fit, and
`update`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from swav_dali.config.sections import SwavConfig
from swav_dali.method.accumulate import backward_in_parts
from swav_dali.method.forward import Forward, forward_loss
from swav_dali.method.guarded import GuardedOptimizer
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.scale import LossScale
from swav_dali.method.sound import SOUND, Undo, backward, culprit
from swav_dali.model.net import SwavNet
from swav_dali.ranks.timer import Timer, untimed


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step leaves behind, on the device and without graph.

    Attributes:
        loss: scalar, the mean over this rank's batch.
        embeddings: (crops, batch, dim), unit rows.
        scores: (crops, batch, prototypes), cosines.
        codes: (assigned, batch, prototypes), rows sum to 1 within every head.
        grad_norm: L2 norm of all gradients together, averaged over the ranks, scalar.
        culprit: what was not finite, so that the step changed nothing, or OVERFLOW; see swav_dali.method.sound.
    """

    loss: Tensor
    embeddings: Tensor
    scores: Tensor
    codes: Tensor
    grad_norm: Tensor
    culprit: Tensor


def train_step(
    net: nn.Module,
    groups: Sequence[Tensor],
    *,
    model: SwavNet,
    optimizer: GuardedOptimizer,
    queue: FeatureQueue | None,
    learning_rate: float,
    freeze_prototypes: bool,
    swav: SwavConfig,
    autocast_dtype: torch.dtype | None,
    micro_batches: int = 1,
    loss_scale: LossScale | None = None,
    timed: Timer = untimed,
) -> StepResult:
    """Forward, codes, loss, backward and update; without effect, on any rank, if something is not finite.

    Args:
        net: `model` or its DistributedDataParallel wrapper.
        groups: see pipelines.batch.MultiCropBatch.
        model: the network.
        optimizer: over all parameters of `model`.
        queue: filled and, once full, used; None before its start.
        learning_rate: of this step.
        freeze_prototypes: leave the prototypes where they are; their momentum and decay wait too.
        swav: temperatures, iterations and crops.
        autocast_dtype: of the trunk and the head, None for none.
        micro_batches: parts of the batch that go through the network one after the other.
        loss_scale: of float16, None for types that need none; the learning rate goes on over a step it leaves out.
        timed: called with the name of each part, around it.
    """
    prototypes = model.prototype_weights
    for weight in prototypes:
        weight.requires_grad_(not freeze_prototypes)  # frozen ones have no part in backward
    moved_by_forward = Undo([*model.buffers(), *prototypes])  # running statistics, length of the prototypes
    model.normalize_prototypes_()
    queued = queue.rows if queue is not None and queue.is_full else None
    scale = None if loss_scale is None else loss_scale.value
    shared: dict[str, Any] = {"queued": queued, "swav": swav, "autocast_dtype": autocast_dtype, "timed": timed}
    optimizer.zero_grad(set_to_none=True)
    if micro_batches == 1:
        forward = _backward_whole(net, groups, model, scale, **shared)
    else:
        forward = backward_in_parts(net, groups, model=model, parts=micro_batches, scale=scale, **shared)
    with timed("optimizer"):
        norms = update(optimizer, learning_rate=learning_rate, loss_scale=loss_scale)
    found = culprit(forward.embeddings, forward.loss.detach(), norms)
    result = StepResult(
        loss=forward.loss.detach(),
        embeddings=forward.embeddings,
        scores=forward.scores,
        codes=forward.codes,
        grad_norm=norms.norm(),
        culprit=found if loss_scale is None else loss_scale.judge(found),
    )
    is_skipped = result.culprit != SOUND
    moved_by_forward.undo_if(is_skipped)
    if queue is not None:
        queue.push(torch.stack([forward.embeddings[crop] for crop in swav.assign_crops]), unless=is_skipped)
    return result


def _backward_whole(
    net: nn.Module, groups: Sequence[Tensor], model: SwavNet, scale: Tensor | None, **shared: Any
) -> Forward:
    forward = forward_loss(net, groups, model.prototypes.weight, heads=model.heads, **shared)
    with shared["timed"]("backward"):
        backward(forward.loss, scale, shared["timed"])
    return forward


def update(optimizer: GuardedOptimizer, *, learning_rate: float, loss_scale: LossScale | None = None) -> Tensor:
    """Move the parameters along their gradients; see GuardedOptimizer.step for what is returned.

    Args:
        optimizer: over the parameters.
        learning_rate: of this step.
        loss_scale: taken out of the gradients before anything looks at them.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    if loss_scale is not None:
        loss_scale.unscale(parameter for group in optimizer.param_groups for parameter in group["params"])
    return optimizer.step()
