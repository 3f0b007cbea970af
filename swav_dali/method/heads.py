"""Codes and loss of one or several heads of prototypes, whose scores lie side by side.

Every head shares its own prototypes out over the images, and the loss is the mean over the heads. One head takes the
way it would take without this file; several cost the collectives of one, each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swav_dali.config.sections import SwavConfig
from swav_dali.method.codes import assign_codes
from swav_dali.method.loss import swapped_loss
from swav_dali.ranks.timer import Timer, untimed


def codes_of_heads(
    scores: Tensor,
    prototypes: Tensor,
    heads: Sequence[int],
    *,
    queued: Tensor | None,
    swav: SwavConfig,
    timed: Timer = untimed,
) -> Tensor:
    """See assign_codes; rows sum to 1 within every head.

    Args:
        scores: (crops, batch, prototypes of all heads).
        prototypes: unit rows of all heads, (prototypes, dim).
        heads: prototypes of each; empty for one head of all.
        queued: (assigned, rows, dim), or None.
        swav: epsilon, iterations and the crops that get codes.
        timed: of the all-reduces.
    """
    if len(heads) < 2:
        return assign_codes(scores, prototypes, queued=queued, swav=swav, timed=timed)
    parts = zip(scores.split(list(heads), dim=2), prototypes.split(list(heads)), strict=True)
    return torch.cat([assign_codes(own, rows, queued=queued, swav=swav, timed=timed) for own, rows in parts], dim=2)


def loss_of_heads(scores: Tensor, codes: Tensor, heads: Sequence[int], swav: SwavConfig) -> Tensor:
    """See swapped_loss; the mean over the heads."""
    if len(heads) < 2:
        return swapped_loss(scores, codes, swav.assign_crops, swav.temperature)
    parts = zip(scores.split(list(heads), dim=2), codes.split(list(heads), dim=2), strict=True)
    return torch.stack([swapped_loss(own, code, swav.assign_crops, swav.temperature) for own, code in parts]).mean()
