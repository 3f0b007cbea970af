"""What a step tells about its health, as device scalars: free functions of tensors, no host copy."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def health(embeddings: Tensor, codes: Tensor) -> dict[str, Tensor]:
    """Scalars that show a collapse before the loss does.

    Args:
        embeddings: (crops, batch, dim), unit rows.
        codes: (assigned, batch, prototypes), rows sum to 1.

    Returns:
        code_entropy: mean entropy of a code, in nats; ln K is a code that says nothing.
        prototypes_used: share of the prototypes that are some image's strongest code.
        top_prototype_share: share of the images whose strongest code is the most popular one.
        embedding_spread: standard deviation per dimension times sqrt(dim); 1 is uniform, 0 is collapsed.
    """
    num_prototypes = codes.shape[-1]
    strongest = codes.argmax(-1).flatten()
    counts = torch.bincount(strongest, minlength=num_prototypes)
    spread = embeddings.flatten(0, 1).float().std(0).mean() * embeddings.shape[-1] ** 0.5
    return {
        "code_entropy": -torch.special.xlogy(codes, codes).sum(-1).mean().float(),
        "prototypes_used": (counts > 0).float().mean(),
        "top_prototype_share": counts.max().float() / strongest.numel(),
        "embedding_spread": spread,
    }


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether no element of any tensor is infinite or NaN: a bool scalar on their device."""
    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()
