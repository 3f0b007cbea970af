"""A batch that goes through the network in parts, for a peak memory of one part. What accumulation means for SwAV.

Codes share the prototypes out over the whole batch, so no part can have a loss before all have scores. The network
therefore runs twice: once over all parts without graph, for the codes; then part by part forward and backward, against
the part's own codes. Gradients add up to those of the whole batch, BatchNorm aside, which sees a part at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from swav_dali.config.sections import SwavConfig
from swav_dali.method.forward import Forward
from swav_dali.method.heads import codes_of_heads, loss_of_heads
from swav_dali.method.sound import Undo, backward
from swav_dali.model.net import SwavNet
from swav_dali.ranks.timer import Timer, untimed


def backward_in_parts(
    net: nn.Module,
    groups: Sequence[Tensor],
    *,
    model: SwavNet,
    parts: int,
    queued: Tensor | None,
    swav: SwavConfig,
    autocast_dtype: torch.dtype | None,
    scale: Tensor | None = None,
    timed: Timer = untimed,
) -> Forward:
    """The forward of the whole batch, with its gradients added to the parameters; the ranks meet once, at the end.

    Args:
        net: `model` or its DistributedDataParallel wrapper.
        groups: crops of one size each, (batch, crops of the group, 3, s, s).
        model: the network; its prototypes are unit rows.
        parts: a divisor of the batch.
        queued: embeddings that share in the codes, (assigned, rows, dim), or None.
        swav: temperatures, iterations and crops.
        autocast_dtype: of the trunk and the head, None for none.
        scale: a factor on the gradients.
        timed: called with the name of each part of the step, around it.
    """
    pieces = list(zip(*(group.chunk(parts) for group in groups), strict=True))
    autocast = torch.autocast(groups[0].device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    with timed("forward"), autocast:
        embeddings, scores = _look_ahead(model, pieces)
    with timed("codes"):
        prototypes = model.prototypes.weight.detach()
        codes = codes_of_heads(scores, prototypes, model.heads, queued=queued, swav=swav, timed=timed)
    losses = []
    with timed("backward"):
        for number, (piece, code) in enumerate(zip(pieces, codes.chunk(parts, dim=1), strict=True), start=1):
            is_last = number == parts
            with _apart(net) if not is_last else contextlib.nullcontext():
                with autocast:
                    _, piece_scores = net(piece)
                loss = loss_of_heads(piece_scores, code, model.heads, swav) / parts
                backward(loss, scale, timed)
            losses.append(loss.detach())
    return Forward(torch.stack(losses).sum(), embeddings, scores, codes)


@torch.no_grad()
def _look_ahead(model: SwavNet, pieces: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
    """Embeddings and scores of all pieces, (crops, batch, ...); the running statistics move in the second pass only."""
    statistics = Undo(model.buffers())
    outputs = [model(piece) for piece in pieces]
    embeddings, scores = (torch.cat(tensors, dim=1) for tensors in zip(*outputs, strict=True))
    statistics.undo_if(torch.ones((), dtype=torch.bool, device=scores.device))
    return embeddings, scores


def _apart(net: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Gradients stay on their rank inside."""
    if isinstance(net, DistributedDataParallel):
        return net.no_sync()
    return contextlib.nullcontext()
