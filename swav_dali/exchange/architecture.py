"""Which trunk a set of weights belongs to, read off the shapes: files carry no name for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from swav_dali.errors import ConfigError
from swav_dali.model.resnet import ARCHITECTURES, Bottleneck


def architecture_of(state: Mapping[str, Tensor], *, where: Path) -> str:
    """The name in swav_dali.model.resnet.ARCHITECTURES whose stem, blocks and depth the weights have.

    Raises:
        ConfigError: no such trunk is known.
    """
    stem = state.get("conv1.weight")
    found = (0 if stem is None else stem.shape[0], "layer1.0.conv3.weight" in state, _depth(state))
    for name, arch in ARCHITECTURES.items():
        if found == (arch.width, arch.block is Bottleneck, arch.num_blocks):
            return name
    raise ConfigError(
        "these weights belong to no known trunk",
        where=where,
        found=", ".join(list(state)[:4]) + ", ...",
        expected=f"names and shapes of one of {' | '.join(ARCHITECTURES)}",
    )


def _depth(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    blocks = {tuple(name.split(".")[:2]) for name in state if name.startswith("layer")}
    return tuple(sum(layer == f"layer{number}" for layer, *_ in blocks) for number in (1, 2, 3, 4))
