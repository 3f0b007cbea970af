"""From crops to the loss: what of a step has a graph. A free function of tensors, made to be compiled or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from swav_dali.config.sections import SwavConfig
from swav_dali.method.heads import codes_of_heads, loss_of_heads
from swav_dali.ranks.timer import Timer, untimed


class Forward(NamedTuple):
    """What a forward gives; only `loss` carries a graph.

    Attributes:
        loss: scalar, the mean over this rank's batch.
        embeddings: (crops, batch, dim), unit rows.
        scores: (crops, batch, prototypes), cosines.
        codes: (assigned, batch, prototypes), rows sum to 1 within every head.
    """

    loss: Tensor
    embeddings: Tensor
    scores: Tensor
    codes: Tensor


def forward_loss(
    net: nn.Module,
    groups: Sequence[Tensor],
    prototypes: Tensor,
    *,
    queued: Tensor | None,
    swav: SwavConfig,
    autocast_dtype: torch.dtype | None,
    heads: Sequence[int] = (),
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
        heads: prototypes of each head, if there are several.
        timed: called with the name of each part, around it.
    """
    is_half = autocast_dtype is not None
    with timed("forward"), torch.autocast(groups[0].device.type, dtype=autocast_dtype, enabled=is_half):
        embeddings, scores = net(groups)
    with timed("codes"):
        codes = codes_of_heads(scores.detach(), prototypes.detach(), heads, queued=queued, swav=swav, timed=timed)
    with timed("loss"):
        loss = loss_of_heads(scores, codes, heads, swav)
    return Forward(loss, embeddings.detach(), scores.detach(), codes)
