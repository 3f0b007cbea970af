"""Codes: which prototypes each image belongs to, shared out equally over all images of all ranks (Sinkhorn).

No gradient flows here. arXiv 2006.09882, section 3.1 and appendix A.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from swav_dali.config.sections import SwavConfig
from swav_dali.ranks.world import sum_over_ranks


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes of several crops at once, rows summing to 1; `iterations` all-reduces of (assigned, prototypes), no more.

    A round gives every prototype the same mass over the images of all ranks, then every image mass 1. The first
    normalization of the usual formulation (the whole to 1) cancels in the first round, so it is left out.

    Done in logarithms and float64, which makes sums the only exchange. A common maximum would cost one more
    collective; but cosines are at most 1, so exp((score - 1) / epsilon) cannot overflow, and float64 holds it down
    to epsilon 0.003, where float32 loses prototypes below 0.02. After the first round no sum over images is
    smaller than 1 / (images x prototypes). The clamp only acts on a prototype that underflows all the same: it
    keeps its finite logarithms, so nothing is ever divided by zero.

    Args:
        scores: cosines, (assigned, images, prototypes), any float dtype.
        epsilon: entropy regulariser; smaller gives harder codes.
        iterations: rounds.

    Returns:
        Codes, (assigned, images, prototypes), float64 for float64 scores and float32 for all others.
    """
    logits = (scores.double() - 1) / epsilon
    for _ in range(iterations):
        mass = sum_over_ranks(logits.exp().sum(dim=1, keepdim=True))  # (assigned, 1, prototypes)
        logits = (logits - mass.clamp_min(torch.finfo(mass.dtype).tiny).log()).log_softmax(dim=2)
    return logits.exp().to(torch.promote_types(scores.dtype, torch.float32))


@torch.no_grad()
def assign_codes(
    scores: Tensor,
    prototypes: Tensor,
    *,
    queued: Tensor | None,
    swav: SwavConfig,
) -> Tensor:
    """Codes of the batch, (assigned, batch, prototypes), shared out over the batch and what is queued.

    Args:
        scores: cosines of the batch with the prototypes, (crops, batch, prototypes).
        prototypes: unit rows, (prototypes, dim).
        queued: earlier embeddings of the assigned crops, (assigned, rows, dim), or None; scored here, by the current
            prototypes.
        swav: epsilon, iterations and the crops that get codes.
    """
    batch_size = scores.shape[1]
    assigned = torch.stack([scores[crop] for crop in swav.assign_crops])
    if queued is not None:
        with torch.autocast(scores.device.type, enabled=False):
            assigned = torch.cat([queued @ prototypes.T, assigned], dim=1)
    return sinkhorn(assigned, swav.epsilon, swav.sinkhorn_iterations)[:, -batch_size:]
