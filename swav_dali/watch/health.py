"""Whether a model learns or collapses: sums over every step of a window and over all ranks, as device scalars.

Nothing here waits for the device between records. A record costs one collective of the sums and one eigenvalue
decomposition of (dim, dim).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from swav_dali.ranks.group import sum_over_ranks

DUPLICATE_COSINE = 0.99
_ROWS = 1024  # cosines of all prototypes at once would take 4 bytes x prototypes^2


class Health:
    """Sums since the last record; of sound steps only."""

    def __init__(self, heads: Sequence[int] = ()) -> None:
        """Know nothing yet but the prototypes of each head, if there are several: the first step tells the rest."""
        self._sums: dict[str, Tensor] = {}
        self._heads = heads

    @torch.no_grad()
    def update(self, embeddings: Tensor, codes: Tensor, grad_norm: Tensor, is_sound: Tensor) -> None:
        """Count a step.

        Args:
            embeddings: (crops, batch, dim), unit rows.
            codes: (assigned, batch, prototypes), rows sum to 1 within every head.
            grad_norm: of all gradients together.
            is_sound: bool scalar; a step that was not changes no sum.
        """
        rows = embeddings.flatten(0, 1).float()
        strongest = self._strongest(codes)
        new = {
            "wins": torch.zeros_like(codes[0, 0], dtype=torch.float32).index_add_(
                0, strongest, torch.ones_like(strongest, dtype=torch.float32)
            ),
            "entropy": -torch.special.xlogy(codes, codes).sum().float().reshape(1),
            "gram": (rows.T @ rows).flatten(),
            "total": rows.sum(0),
            "rows": torch.full((1,), float(len(rows)), device=rows.device),
            "grad_norm": grad_norm.float().reshape(1),
            "steps": torch.ones(1, device=rows.device),
        }
        for name, value in new.items():
            counted = torch.where(is_sound, value, 0.0)
            self._sums[name] = counted if name not in self._sums else self._sums[name] + counted

    @torch.no_grad()
    def figures(self, prototypes: Tensor) -> dict[str, Tensor]:
        """The window's figures, equal on all ranks, and the next window; collective.

        Args:
            prototypes: (prototypes, dim), of any length.

        Returns:
            Device scalars by the names declared in swav_dali.watch.record; of several heads the mean, or the worst.
        """
        sums, self._sums = self._sums, {}
        whole = sum_over_ranks(torch.cat([value.double() for value in sums.values()]))
        over = dict(zip(sums, whole.split([len(value) for value in sums.values()]), strict=True))
        shares = [wins / wins.sum() for wins in self._by_head(over["wins"])]
        return {
            "code_entropy": (over["entropy"] / over["wins"].sum()).squeeze(),
            "prototypes_used": (over["wins"] > 0).double().mean(),
            "prototype_perplexity": torch.stack([_perplexity(share) for share in shares]).mean(),
            "top_prototype_share": torch.stack([share.max() for share in shares]).max(),
            "duplicate_prototypes": torch.stack([_duplicates(rows) for rows in self._by_head(prototypes)]).mean(),
            "embedding_spread": _spread(over["gram"], over["total"], over["rows"]),
            "rankme": _rankme(over["gram"], len(over["total"])),
            "grad_norm": (over["grad_norm"] / over["steps"]).squeeze(),
        }

    def _by_head(self, tensor: Tensor) -> Sequence[Tensor]:
        """Parts of a tensor whose first dimension is prototypes."""
        return tensor.split(list(self._heads)) if len(self._heads) > 1 else [tensor]

    def _strongest(self, codes: Tensor) -> Tensor:
        """The strongest prototype of every code, one in each head, counted over all heads."""
        if len(self._heads) < 2:
            return codes.argmax(-1).flatten()
        parts = codes.split(list(self._heads), dim=-1)
        firsts = [sum(self._heads[:number]) for number in range(len(parts))]
        return torch.cat([(part.argmax(-1) + first).flatten() for part, first in zip(parts, firsts, strict=True)])


def _perplexity(share: Tensor) -> Tensor:
    """As a share of the prototypes: 1 where all get as many images."""
    perplexity: Tensor = (-torch.special.xlogy(share, share).sum()).exp() / len(share)
    return perplexity


def _spread(gram: Tensor, total: Tensor, rows: Tensor) -> Tensor:
    """Standard deviation per dimension times sqrt(dim): 1 is uniform on the sphere, 0 is collapsed."""
    dim = len(total)
    squares = gram.view(dim, dim).diagonal()
    variance = (squares - total.square() / rows) / (rows - 1)
    spread: Tensor = variance.clamp_min(0).sqrt().mean() * dim**0.5
    return spread


def _rankme(gram: Tensor, dim: int) -> Tensor:
    """How many dimensions are in use: exp of the entropy of the normalized singular values (arXiv 2210.02885)."""
    is_known = gram.isfinite().all() & (gram.abs().sum() > 0)
    matrix = torch.where(is_known, gram.view(dim, dim), torch.eye(dim, dtype=gram.dtype, device=gram.device))
    values = torch.linalg.eigvalsh(matrix).clamp_min(0).sqrt()
    share = values / values.sum()
    return torch.where(is_known, (-torch.special.xlogy(share, share).sum()).exp(), torch.nan)


def _duplicates(prototypes: Tensor) -> Tensor:
    """Share of the prototypes that lie within DUPLICATE_COSINE of an earlier one."""
    unit = torch.nn.functional.normalize(prototypes.detach().float(), dim=1)
    found = torch.zeros((), device=unit.device)
    for start in range(0, len(unit), _ROWS):
        cosines = (unit[start : start + _ROWS] @ unit.T).tril(start - 1)  # each row's earlier ones
        found += (cosines > DUPLICATE_COSINE).any(1).sum()
    return found / len(unit)


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether no element of any tensor is infinite or NaN: a bool scalar on their device."""
    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()
