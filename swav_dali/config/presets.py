"""The named starting points of `python train.py PRESET`; each is a complete RunConfig.

`demo` and `small`, sized for two CPU cores, are made here; the published recipes are in swav_dali.config.recipes.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from pipelines.recipes import PRESETS
from swav_dali.config.log import LogConfig
from swav_dali.config.optim import OptimConfig
from swav_dali.config.recipes import PUBLISHED, Recipe
from swav_dali.config.sections import (
    CheckpointConfig,
    DataConfig,
    KnnConfig,
    ModelConfig,
    RunConfig,
    SwavConfig,
)
from swav_dali.errors import ConfigError

_WIDTH = 21


def _demo() -> RunConfig:
    crops, augment = PRESETS["demo"]
    return RunConfig(
        name="demo",
        data=DataConfig(
            train=Path("data/demo/train"),
            validation=Path("data/demo/validation"),
            batch_size=64,
            crops=crops,
            augment=augment,
        ),
        model=ModelConfig(arch="tiny", hidden_dim=256, embedding_dim=64, num_prototypes=32),
        swav=SwavConfig(epsilon=0.02, freeze_prototypes_steps=50),
        optim=OptimConfig(optimizer="adamw", epochs=28, base_lr=3e-3, final_lr=1e-5, warmup_epochs=1, start_lr=3e-4),
        checkpoint=CheckpointConfig(keep=2, keep_every_epochs=0),
        log=LogConfig(every_steps=8),
        knn=KnnConfig(every_epochs=4, resize=72, size=64, batch_size=128),
    )


def _small() -> RunConfig:
    demo = _demo()
    crops, augment = PRESETS["small"]
    return replace(
        demo,
        name="small",
        data=replace(
            demo.data,
            train=Path("data/small/train"),
            validation=Path("data/small/validation"),
            crops=crops,
            augment=augment,
        ),
        model=replace(demo.model, num_prototypes=64),
        swav=replace(demo.swav, freeze_prototypes_steps=100),
        optim=replace(demo.optim, epochs=30),
        log=LogConfig(every_steps=20),
        knn=replace(demo.knn, every_epochs=5),
    )


_OURS = (
    Recipe(
        name="demo",
        what="drawn pictures, tiny network, minutes on two CPU cores",
        source="ours, tuned on the drawn pictures",
        start=_demo,
    ),
    Recipe(
        name="small",
        what="a few thousand photos on a CPU: tiny network, 2x64+4x32",
        source="ours, tuned on photos",
        start=_small,
    ),
)
RECIPES: dict[str, Recipe] = {row.name: row for row in _OURS} | PUBLISHED
"""All of them by name, in the order they are listed."""


def preset_lines() -> list[str]:
    """Name and one-line description of every preset, for help texts."""
    return [f"{row.name:<{_WIDTH}} {row.what}" for row in RECIPES.values()]


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`; raises ConfigError with the nearest name."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else "python train.py recipes lists them"
        raise ConfigError("unknown preset", where="train.py", found=repr(name), expected=" | ".join(RECIPES), fix=hint)
    return RECIPES[name]


def load_preset(name: str) -> RunConfig:
    """All choices of the preset called `name`; raises ConfigError with the nearest name."""
    return find_recipe(name).config()
