"""One training step, in the reference's order. Nothing in it waits for the device.

`forward_loss` and `update` are its two halves, free functions of tensors; `train_step` is the plain way to put them
together: one forward, one backward, one update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from swav_dali.config.sections import SwavConfig
from swav_dali.method.codes import assign_codes
from swav_dali.method.guarded import GuardedOptimizer
from swav_dali.method.loss import swapped_loss
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.sound import SOUND, Undo, backward, culprit
from swav_dali.model.net import SwavNet

Timer = Callable[[str], AbstractContextManager[None]]
"""Times the work that is queued in its block under a name."""


def untimed(name: str) -> AbstractContextManager[None]:
    """The Timer that does nothing."""
    return nullcontext()


class Forward(NamedTuple):
    """What a forward gives; only `loss` carries a graph.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step leaves behind, on the device and without graph.

    Attributes:
        loss: scalar, the mean over this rank's batch.
        embeddings: (crops, batch, dim), unit rows.
        scores: (crops, batch, prototypes), cosines.
        codes: (assigned, batch, prototypes), rows sum to 1.
        grad_norm: L2 norm of all gradients together, averaged over the ranks, scalar.
        culprit: what was not finite, so that the step changed nothing; see swav_dali.method.sound.culprit.
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
        timed: called with the name of each part, around it.
    """
    prototypes = model.prototypes.weight
    moved_by_forward = Undo([*model.buffers(), prototypes])  # running statistics, length of the prototypes
    model.normalize_prototypes_()
    queued = queue.rows if queue is not None and queue.is_full else None
    forward = forward_loss(
        net, groups, prototypes, queued=queued, swav=swav, autocast_dtype=autocast_dtype, timed=timed
    )
    optimizer.zero_grad(set_to_none=True)
    with timed("backward"):
        backward(forward.loss)
    with timed("optimizer"):
        norms = update(optimizer, learning_rate=learning_rate, frozen=[prototypes] if freeze_prototypes else [])
    result = StepResult(
        loss=forward.loss.detach(),
        embeddings=forward.embeddings,
        scores=forward.scores,
        codes=forward.codes,
        grad_norm=norms.norm(),
        culprit=culprit(forward.embeddings, forward.loss.detach(), norms),
    )
    is_skipped = result.culprit != SOUND
    moved_by_forward.undo_if(is_skipped)
    if queue is not None:
        queue.push(torch.stack([forward.embeddings[crop] for crop in swav.assign_crops]), unless=is_skipped)
    return result


def forward_loss(
    net: nn.Module,
    groups: Sequence[Tensor],
    prototypes: Tensor,
    *,
    queued: Tensor | None,
    swav: SwavConfig,
    autocast_dtype: torch.dtype | None,
    timed: Timer = untimed,
) -> Forward:
    """Embeddings and scores of all crops, the codes of the assigned ones, and the loss.

    Args:
        net: gives embeddings and scores, see SwavNet.
        groups: crops of one size each, (batch, crops of the group, 3, s, s).
        prototypes: unit rows, (prototypes, dim).
        queued: embeddings that share in the codes, (assigned, rows, dim), or None.
        swav: temperatures, iterations and crops.
        autocast_dtype: of the trunk and the head, None for none.
        timed: called with the name of each part, around it.
    """
    is_half = autocast_dtype is not None
    with timed("forward"), torch.autocast(groups[0].device.type, dtype=autocast_dtype, enabled=is_half):
        embeddings, scores = net(groups)
    with timed("codes"):
        codes = assign_codes(scores.detach(), prototypes.detach(), queued=queued, swav=swav)
    with timed("loss"):
        loss = swapped_loss(scores, codes, swav.assign_crops, swav.temperature)
    return Forward(loss, embeddings.detach(), scores.detach(), codes)


def update(optimizer: GuardedOptimizer, *, learning_rate: float, frozen: Sequence[Tensor]) -> Tensor:
    """Move the parameters along their gradients; see GuardedOptimizer.step for what is returned.

    Args:
        optimizer: over the parameters.
        learning_rate: of this step.
        frozen: parameters whose gradient is thrown away.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    for parameter in frozen:
        parameter.grad = None
    return optimizer.step()
