"""Published recipes as a table of differences: a row has only what it does differently from its base.

The defaults of RunConfig are the reference's 100 epochs at 4096 images a step; its other recipes are a few words each.
Numbers of the reference are those of its scripts (facebookresearch/swav, scripts/ and README), which the paper's agree
with. A row names where its numbers and its accuracy come from; what is our own in it is said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.recipes import RECIPES as CROPS
from pipelines.recipes import parse_crops
from swav_dali.config.changed import changed
from swav_dali.config.sections import RunConfig


class DataSet(NamedTuple):
    """The pictures that a recipe was made for."""

    name: str
    images: int
    classes: int


IMAGENET = DataSet("ImageNet", 1_281_167, 1000)
IMAGENETTE = DataSet("Imagenette", 9_469, 10)
CIFAR10 = DataSet("CIFAR-10", 50_000, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named starting point.

    Attributes:
        name: what it is called on the command line; also the name of its runs.
        what: one line about it.
        source: where its numbers come from.
        accuracy: what its source reports, in percent top-1, and of what kind; empty where nothing is published.
        base: name of the row it differs from; empty for one that begins with `start`.
        ranks: processes that its batch per rank is meant for.
        made_for: the pictures that its numbers are for.
        changes: dotted keys and their values.
        start: makes what the changes are made to, where there is no base.
    """

    name: str
    what: str
    source: str
    accuracy: str = ""
    base: str = ""
    ranks: int = 1
    made_for: DataSet | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: Callable[[], RunConfig] = RunConfig

    def config(self) -> RunConfig:
        """All its choices."""
        start = PUBLISHED[self.base].config() if self.base else self.start()
        return changed(start, {**self.changes, "name": self.name})


def _sets(folder: str) -> dict[str, Path]:
    return {"data.train": Path(f"data/{folder}/train"), "data.validation": Path(f"data/{folder}/validation")}


def _imagenet(
    name: str,
    what: str,
    *,
    script: str,
    linear: float,
    changes: Mapping[str, Any],
    base: str = "imagenet-100ep",
    ranks: int = 64,
) -> Recipe:
    return Recipe(
        name=name,
        what=what,
        source=script,
        accuracy=f"{linear} linear",
        base=base,
        ranks=ranks,
        made_for=IMAGENET,
        changes=changes,
    )


_ADAM_OF_LIGHTLY = {
    "optim.optimizer": "adamw",
    "optim.final_lr": 0.0,
    "optim.warmup_epochs": 0,
    "optim.start_lr": 0.0,
    "optim.epochs": 200,
    "knn.neighbours": 200,
    "knn.temperature": 0.1,
    "model.arch": "resnet18",
}
_HALF_JITTER = {f"data.augment.{name}": 0.4 for name in ("brightness", "contrast", "saturation")} | {
    "data.augment.hue": 0.1
}

_ROWS = (
    _imagenet(
        "imagenet-100ep",
        "ResNet-50, batch 4096, 100 epochs",
        script="swav_100ep_pretrain.sh",
        linear=72.1,
        base="",
        changes={"data.validation": Path("data/imagenet/validation"), "model.sync_bn": "node"},
    ),
    _imagenet(
        "imagenet-200ep",
        "ResNet-50, batch 4096, 200 epochs",
        script="swav_200ep_pretrain.sh",
        linear=73.9,
        changes={"optim.epochs": 200},
    ),
    _imagenet(
        "imagenet-400ep",
        "ResNet-50, batch 4096, 400 epochs",
        script="swav_400ep_pretrain.sh",
        linear=74.6,
        changes={"optim.epochs": 400},
    ),
    _imagenet(
        "imagenet-800ep",
        "ResNet-50, batch 4096, 800 epochs",
        script="swav_800ep_pretrain.sh",
        linear=75.3,
        changes={"optim.epochs": 800},
    ),
    _imagenet(
        "imagenet-400ep-2x224",
        "ResNet-50, batch 4096, 400 epochs without small crops",
        script="swav_400ep_2x224_pretrain.sh",
        linear=70.1,
        base="imagenet-400ep",
        changes={"data.crops": CROPS["2x224"]},
    ),
    _imagenet(
        "imagenet-200ep-bs256",
        "ResNet-50, batch 256 with a queue, 200 epochs",
        script="swav_200ep_bs256_pretrain.sh",
        linear=72.7,
        ranks=4,
        changes={
            "model.sync_bn": "world",
            "swav.queue_length": 3840,
            "swav.freeze_prototypes_steps": 5005,
            "optim.epochs": 200,
            "optim.base_lr": 0.6,
            "optim.final_lr": 0.0006,
            "optim.warmup_epochs": 0,
            "optim.start_lr": 0.0,
        },
    ),
    _imagenet(
        "imagenet-400ep-bs256",
        "ResNet-50, batch 256 with a queue, 400 epochs",
        script="swav_400ep_bs256_pretrain.sh",
        linear=74.3,
        base="imagenet-200ep-bs256",
        ranks=4,
        changes={"optim.epochs": 400},
    ),
    _imagenet(
        "imagenet-w2-400ep",
        "ResNet-50 of twice the width, 400 epochs",
        script="swav_RN50w2_400ep_pretrain.sh",
        linear=77.3,
        base="imagenet-400ep",
        ranks=128,
        changes={
            "data.batch_size": 32,
            "data.crops": CROPS["2x224+4x96"],
            "model.arch": "resnet50w2",
            "model.hidden_dim": 8192,
        },
    ),
    _imagenet(
        "imagenet-w4-400ep",
        "ResNet-50 of four times the width, a queue of one batch, 400 epochs",
        script="swav_RN50w4_400ep_pretrain.sh",
        linear=77.9,
        base="imagenet-400ep",
        changes={
            "data.batch_size": 40,
            "data.crops": parse_crops("2x224@0.08-1+4x96@0.08-0.14"),
            "model.arch": "resnet50w4",
            "model.hidden_dim": 8192,
            "swav.queue_length": 2560,
            "swav.queue_start_epoch": 0.0,
        },
    ),
    _imagenet(
        "imagenet-w5-400ep",
        "ResNet-50 of five times the width, no BatchNorm in the head, a queue of one batch, 400 epochs",
        script="the script for RN50w5 that d4970c8 removed, issue 35",
        linear=78.5,
        base="imagenet-400ep",
        ranks=128,
        changes={
            "data.batch_size": 12,
            "data.crops": CROPS["2x224+4x96"],
            "model.arch": "resnet50w5",
            "model.hidden_dim": 10240,
            "model.head_norm": False,
            "swav.queue_length": 1536,
            "swav.queue_start_epoch": 0.0,
            "optim.final_lr": 0.0,
            "optim.start_lr": 0.1875,
        },
    ),
    Recipe(
        name="imagenet-1gpu",
        what="imagenet-200ep-bs256 on one GPU: the same batch and the same BatchNorm over it",
        source="swav_200ep_bs256_pretrain.sh, 256 images on a rank",
        accuracy="72.7 linear on four GPUs",
        base="imagenet-200ep-bs256",
        made_for=IMAGENET,
        changes={"data.batch_size": 256, "model.sync_bn": "off"},
    ),
    Recipe(
        name="imagenette",
        what="ResNet-18, 2x128+6x64, 200 epochs, on one GPU",
        source="lightly's Imagenette benchmark (Adam there, AdamW here)",
        accuracy="86.1 kNN; 90.2 with --optim.epochs 800",
        made_for=IMAGENETTE,
        changes={
            **_sets("imagenette"),
            **_ADAM_OF_LIGHTLY,
            **_HALF_JITTER,
            "data.batch_size": 256,
            "data.crops": parse_crops("2x128@0.14-1+6x64@0.05-0.14"),
            "swav.freeze_prototypes_steps": 36,
            "optim.base_lr": 0.001,
            "knn.resize": 128,
            "knn.size": 128,
        },
    ),
    Recipe(
        name="cifar10",
        what="ResNet-18 with a 3x3 stem and no pooling, 2x32, 200 epochs, on one GPU",
        source="lightly's CIFAR-10 benchmark (Adam there, AdamW here)",
        accuracy="83.3 kNN; 88.1 with --optim.epochs 800",
        made_for=CIFAR10,
        changes={
            **_sets("cifar10"),
            **_ADAM_OF_LIGHTLY,
            "data.batch_size": 512,
            "data.crops": parse_crops("2x32@0.14-1"),
            "data.augment.blur": 0.0,
            "model.small_stem": True,
            "model.hidden_dim": 512,
            "model.num_prototypes": 512,
            "swav.freeze_prototypes_steps": 0,
            "optim.base_lr": 0.004,
            "knn.resize": 32,
            "knn.size": 32,
            "knn.batch_size": 512,
        },
    ),
    Recipe(
        name="vit-small",
        what="timm's ViT-S/16 with AdamW, 2x224+4x96, 200 epochs of Imagenette",
        source="stable-pretraining's Imagenette table; decay, warm-up, frozen steps and batch are ours",
        accuracy="89.7 linear, 86.4 kNN",
        made_for=IMAGENETTE,
        changes={
            **_sets("imagenette"),
            "data.batch_size": 256,
            "data.crops": CROPS["2x224+4x96"],
            "model.arch": "timm:vit_small_patch16_224",
            "swav.freeze_prototypes_steps": 36,
            "optim.optimizer": "adamw",
            "optim.epochs": 200,
            "optim.base_lr": 0.0005,
            "optim.final_lr": 0.0,
            "optim.start_lr": 0.0,
            "optim.weight_decay": 0.05,
        },
    ),
)
_OLDER_NAMES = {"imagenet_4096": "imagenet-100ep", "imagenet_256": "imagenet-200ep-bs256"}
PUBLISHED: dict[str, Recipe] = {row.name: row for row in _ROWS}
"""By name, in the order of the table; the names of earlier versions last."""
PUBLISHED |= {
    name: replace(PUBLISHED[now], name=name, what=f"the earlier name of {now}", base=now, changes={})
    for name, now in _OLDER_NAMES.items()
}
