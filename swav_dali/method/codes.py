"""Codes: which prototypes each image belongs to, shared out equally over all images of all ranks (Sinkhorn).

No gradient flows here. arXiv 2006.09882, section 3.1 and appendix A.1.

With the kernel E = exp(score / epsilon), the codes after some rounds are E scaled by one factor per prototype and one
per image. So E is made once and only read: a round is two products of E with a vector, and the last one is needed for
the batch alone. What has been queued takes part as a second kernel beside the batch's and is never copied together
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from swav_dali.config.sections import SwavConfig
from swav_dali.ranks.group import sum_over_ranks
from swav_dali.ranks.timer import Timer, untimed

FLOAT32_EPSILON = 0.03
"""From here up float32 holds every kernel: the largest ratio of two factors is exp(2 / epsilon) = 1e29. Below, float64
does, to epsilon 0.003."""
_LARGEST_EXPONENT = {torch.float32: 40.0, torch.float64: 345.0}  # above 1 / epsilon; its square is still finite


class _Kernel(NamedTuple):
    """Part of the images.

    Attributes:
        values: (assigned, images, prototypes), exp(score / epsilon) but for one factor per image.
        images: that factor, (assigned, images).
    """

    values: Tensor
    images: Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes of several crops at once, rows summing to 1; `iterations` all-reduces of (assigned, prototypes), no more.

    A round gives every prototype the same mass over the images of all ranks, then every image mass 1. The first
    normalization of the usual formulation (the whole to 1) cancels in the first round, so it is left out.

    Nothing is ever divided by zero: below epsilon 0.003 a prototype that no image is near may have no mass left, and
    gets none.

    Args:
        scores: cosines, (assigned, images, prototypes), any float dtype.
        epsilon: entropy regulariser; smaller gives harder codes.
        iterations: rounds.

    Returns:
        Codes, (assigned, images, prototypes), float64 for float64 scores and float32 for all others. Against float64
        arithmetic on the same scores float32 is right to 1e-6 of each code.
    """
    return _balanced([_kernel_of(scores, epsilon)], iterations).to(torch.promote_types(scores.dtype, torch.float32))


@torch.no_grad()
def assign_codes(
    scores: Tensor, prototypes: Tensor, *, queued: Tensor | None, swav: SwavConfig, timed: Timer = untimed
) -> Tensor:
    """Codes of the batch, (assigned, batch, prototypes), shared out over the batch and what is queued.

    Args:
        scores: cosines of the batch with the prototypes, (crops, batch, prototypes).
        prototypes: unit rows, (prototypes, dim).
        queued: earlier embeddings of the assigned crops, (assigned, rows, dim), or None; scored here, by the current
            prototypes.
        swav: epsilon, iterations and the crops that get codes.
        timed: of the all-reduces.
    """
    assigned = torch.stack([scores[crop] for crop in swav.assign_crops])
    kernels = [_kernel_of(assigned, swav.epsilon)]
    if queued is not None:
        kernels.append(_kernel_of_queue(queued, prototypes, swav.epsilon))
    return _balanced(kernels, swav.sinkhorn_iterations, timed).to(torch.promote_types(scores.dtype, torch.float32))


def _kernel_of(scores: Tensor, epsilon: float) -> _Kernel:
    """An image's largest score is taken out of its row, so that what counts has the smallest rounding."""
    dtype = _dtype(scores, epsilon)
    largest = scores.amax(dim=2, keepdim=True)
    values = (scores.to(dtype) - largest).div_(epsilon).exp_()
    bound = _LARGEST_EXPONENT[dtype]
    images = (largest.to(dtype).squeeze(2) / epsilon).clamp_(-bound, bound).exp_()
    return _Kernel(values, images)


def _kernel_of_queue(queued: Tensor, prototypes: Tensor, epsilon: float) -> _Kernel:
    dtype = _dtype(queued, epsilon)
    with torch.autocast(queued.device.type, enabled=False):
        if dtype == queued.dtype:  # no pass of its own for the division
            values = queued @ (prototypes / epsilon).T
        else:
            values = (queued @ prototypes.T).to(dtype).div_(epsilon)
    bound = _LARGEST_EXPONENT[dtype]
    if 1 / epsilon > bound:
        values.clamp_(-bound, bound)
    return _Kernel(values.exp_(), torch.ones(values.shape[:2], dtype=dtype, device=values.device))


def _dtype(tensor: Tensor, epsilon: float) -> torch.dtype:
    return torch.float32 if epsilon >= FLOAT32_EPSILON and tensor.dtype != torch.float64 else torch.float64


def _balanced(kernels: Sequence[_Kernel], iterations: int, timed: Timer = untimed) -> Tensor:
    """Codes of the first kernel's images after `iterations` rounds over the images of all kernels and all ranks."""
    images = [kernel.images for kernel in kernels]
    with torch.autocast(images[0].device.type, enabled=False):
        shares = _shares(kernels, images, timed)
        for _ in range(iterations - 1):
            images = [torch.bmm(shares, kernel.values.mT).reciprocal_().squeeze(1) for kernel in kernels]
            shares = _shares(kernels, images, timed)
    codes = kernels[0].values * shares
    return codes.div_(codes.sum(dim=2, keepdim=True))


def _shares(kernels: Sequence[_Kernel], images: Sequence[Tensor], timed: Timer) -> Tensor:
    """The factor that gives every prototype the same mass, (assigned, 1, prototypes); of its scale nothing depends."""
    masses = [torch.bmm(factor.unsqueeze(1), kernel.values) for factor, kernel in zip(images, kernels, strict=True)]
    mass = sum_over_ranks(torch.stack(masses).sum(0) if len(masses) > 1 else masses[0], timed)
    share = mass / mass.mean(dim=2, keepdim=True)
    return share.clamp_min_(torch.finfo(share.dtype).tiny).reciprocal_()
