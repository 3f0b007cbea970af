"""How far a step moves the weights, as a share of their length: on the device, for the steps that end in a record."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Updates:
    """Compares the weights before and after a step; holds a copy of them for that step only."""

    def __init__(self) -> None:
        """Nothing compared yet."""
        self._before: list[Tensor] = []
        self._ratio: Tensor | None = None

    @torch.no_grad()
    def before(self, weights: Iterable[Tensor]) -> None:
        """Keep the weights as they are."""
        self._before = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def after(self, weights: Iterable[Tensor]) -> None:
        """Compare with what was kept, if something was; the same weights in the same order."""
        if not self._before:
            return
        kept, self._before = self._before, []
        length = _length(kept)
        torch._foreach_sub_(kept, [weight.detach() for weight in weights])
        self._ratio = _length(kept) / length

    def figures(self) -> dict[str, Tensor | float]:
        """`update_ratio`, once: a device scalar, NaN where no step was compared since the last call."""
        ratio, self._ratio = self._ratio, None
        return {"update_ratio": float("nan") if ratio is None else ratio}


def _length(tensors: list[Tensor]) -> Tensor:
    length: Tensor = torch.stack(torch._foreach_norm(tensors)).norm()
    return length
