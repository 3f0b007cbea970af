"""The named starting points of `python train.py PRESET`; each is a complete RunConfig.

`imagenet_*` restate the reference's published recipes (global batch, rate, queue, frozen steps); `demo` and
`small` are sized for two CPU cores.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from pipelines.recipes import PRESETS
from swav_dali.config.log import LogConfig
from swav_dali.config.optim import OptimConfig
from swav_dali.config.sections import (
    CheckpointConfig,
    DataConfig,
    KnnConfig,
    ModelConfig,
    RunConfig,
    SwavConfig,
)
from swav_dali.errors import ConfigError


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
        optim=OptimConfig(epochs=14, base_lr=1.5, final_lr=0.01, warmup_epochs=1, start_lr=0.3),
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
        optim=replace(demo.optim, epochs=80, warmup_epochs=3),
        log=LogConfig(every_steps=20),
        knn=replace(demo.knn, every_epochs=5),
    )


def _imagenet_4096() -> RunConfig:
    return RunConfig(
        name="imagenet_4096",
        data=DataConfig(train=Path("data/imagenet/train"), validation=Path("data/imagenet/validation"), batch_size=64),
        model=ModelConfig(sync_bn="node"),
        optim=OptimConfig(epochs=100),
    )


def _imagenet_256() -> RunConfig:
    return RunConfig(
        name="imagenet_256",
        data=DataConfig(train=Path("data/imagenet/train"), validation=Path("data/imagenet/validation"), batch_size=64),
        model=ModelConfig(sync_bn="world"),
        swav=SwavConfig(queue_length=3840, queue_start_epoch=15.0, freeze_prototypes_steps=5005),
        optim=OptimConfig(epochs=200, base_lr=0.6, final_lr=0.0006, warmup_epochs=0, start_lr=0.0),
    )


_PRESETS = {
    "demo": (_demo, "drawn pictures, tiny network, under five minutes on two CPU cores"),
    "small": (_small, "a few thousand photos on a CPU: tiny network, 2x64+4x32, 80 epochs"),
    "imagenet_4096": (_imagenet_4096, "ResNet-50, 2x224+6x96, 64 ranks x 64 images, lr 4.8, 100 epochs, no queue"),
    "imagenet_256": (_imagenet_256, "ResNet-50, 2x224+6x96, 4 ranks x 64 images, lr 0.6, 200 epochs, queue 3840"),
}


def preset_lines() -> list[str]:
    """Name and one-line description of every preset, for help texts."""
    return [f"{name:<14} {text}" for name, (_, text) in _PRESETS.items()]


def load_preset(name: str) -> RunConfig:
    """The preset called `name`; raises ConfigError with the nearest name."""
    if name not in _PRESETS:
        near = difflib.get_close_matches(name, _PRESETS, n=1)
        hint = f"did you mean {near[0]}?" if near else "run python train.py --help"
        raise ConfigError("unknown preset", where="train.py", found=repr(name), expected=" | ".join(_PRESETS), fix=hint)
    return replace(_PRESETS[name][0]())
