"""What of a trunk is evaluated: its last layer's features, and those of its last four layers together.

For transformers the four are the class tokens of the last four blocks, averaged; for residual networks, whose stages
have other widths, the pooled maps of the four stages side by side. A trunk with neither has its last features only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swav_dali.model.net import SwavNet

LAST, LAST_FOUR = "last", "last four"


class Kinds:
    """Features by kind: (batch, 3, size, size) -> {name: float (batch, dim)}."""

    def __init__(self, model: SwavNet) -> None:
        """Listen to the trunk of `model`, in evaluation mode."""
        self._model = model
        self._seen: list[Tensor] = []
        self._blocks = _last_four(model.trunk)
        for block in self._blocks:
            block.register_forward_hook(self._keep)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Every kind that the trunk has."""
        self._seen.clear()
        kinds = {LAST: self._model.features(images)}
        if self._seen:
            kinds[LAST_FOUR] = _joined(self._seen)
        return kinds

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._seen.append(output)


def _last_four(trunk: nn.Module) -> list[nn.Module]:
    stages = [module for name, module in trunk.named_modules() if name.rpartition(".")[2] in _STAGES]
    if len(stages) == len(_STAGES):
        return stages
    for name, module in trunk.named_modules():
        if name.rpartition(".")[2] == "blocks" and isinstance(module, nn.Sequential):
            return list(module)[-4:]
    return []


_STAGES = ("layer1", "layer2", "layer3", "layer4")


def _joined(outputs: list[Tensor]) -> Tensor:
    if outputs[0].ndim == 4:
        return torch.cat([maps.mean((2, 3)) for maps in outputs], dim=1)
    return torch.stack([tokens[:, 0] for tokens in outputs]).mean(0)
