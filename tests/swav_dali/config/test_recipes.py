"""The recipes hold the numbers of the reference's scripts and README, written down here a second time by hand."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from swav_dali.config.presets import RECIPES, load_preset
from swav_dali.config.recipe_lists import markdown_table, recipe_list
from swav_dali.config.recipes import PUBLISHED
from swav_dali.config.saved import flatten

DOCS = Path(__file__).parents[3] / "docs" / "recipes.md"
SMALL, FOUR = "2x224@0.14-1+6x96@0.05-0.14", "2x224@0.14-1+4x96@0.05-0.14"

# recipe, crops, epochs, ranks, batch per rank, lr, final, warm-up, from, queue, its epoch, frozen, sync, top-1
REFERENCE = """
imagenet-100ep        S 100  64 64 4.8 .0048 10 .3    0    - 313  node  72.1
imagenet-200ep        S 200  64 64 4.8 .0048 10 .3    0    - 313  node  73.9
imagenet-400ep        S 400  64 64 4.8 .0048 10 .3    0    - 313  node  74.6
imagenet-800ep        S 800  64 64 4.8 .0048 10 .3    0    - 313  node  75.3
imagenet-400ep-2x224  2x224@0.08-1 400 64 64 4.8 .0048 10 .3 0 - 313 node 70.1
imagenet-200ep-bs256  S 200   4 64 0.6 .0006  0 -     3840 15 5005 world 72.7
imagenet-400ep-bs256  S 400   4 64 0.6 .0006  0 -     3840 15 5005 world 74.3
imagenet-w2-400ep     F 400 128 32 4.8 .0048 10 .3    0    - 313  node  77.3
imagenet-w4-400ep     2x224@0.08-1+4x96@0.08-0.14 400 64 40 4.8 .0048 10 .3 2560 0 313 node 77.9
imagenet-w5-400ep     F 400 128 12 4.8 0     10 .1875 1536 0  313  node  78.5
imagenet_4096         S 100  64 64 4.8 .0048 10 .3    0    - 313  node  72.1
imagenet_256          S 200   4 64 0.6 .0006  0 -     3840 15 5005 world 72.7
"""
NETWORKS = {
    "imagenet-w2-400ep": ("resnet50w2", 8192, True),
    "imagenet-w4-400ep": ("resnet50w4", 8192, True),
    "imagenet-w5-400ep": ("resnet50w5", 10240, False),
}
ALL_ALIKE = {
    "swav.assign_crops": [0, 1],
    "swav.temperature": 0.1,
    "swav.epsilon": 0.05,
    "swav.sinkhorn_iterations": 3,
    "model.embedding_dim": 128,
    "model.num_prototypes": 3000,
    "optim.optimizer": "larc",
    "optim.weight_decay": 1e-6,
    "optim.momentum": 0.9,
    "optim.trust_coefficient": 0.001,
    "checkpoint.keep_every_epochs": 25,
    "data.augment.jitter": 0.8,
    "data.augment.brightness": 0.8,
    "data.augment.contrast": 0.8,
    "data.augment.saturation": 0.8,
    "data.augment.hue": 0.2,
    "data.augment.gray": 0.2,
    "data.augment.blur": 0.5,
    "data.augment.min_sigma": 0.1,
    "data.augment.max_sigma": 2.0,
    "data.augment.std": [0.228, 0.224, 0.225],
}
LINES = [line.split() for line in REFERENCE.strip().splitlines()]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_a_published_recipe_has_every_number_of_its_script(line: list[str]) -> None:
    name, crops, *numbers = line
    flat = flatten(load_preset(name))
    keys = (
        "optim.epochs",
        "ranks",
        "data.batch_size",
        "optim.base_lr",
        "optim.final_lr",
        "optim.warmup_epochs",
        "optim.start_lr",
        "swav.queue_length",
        "swav.queue_start_epoch",
        "swav.freeze_prototypes_steps",
        "model.sync_bn",
        "top1",
    )
    expected: dict[str, Any] = dict(zip(keys, numbers, strict=True))
    assert RECIPES[name].ranks == int(expected.pop("ranks"))
    assert RECIPES[name].accuracy == f"{expected.pop('top1')} linear"
    assert flat["model.sync_bn"] == expected.pop("model.sync_bn")
    said = {key: float(value) for key, value in expected.items() if value != "-"}
    assert {key: flat[key] for key in said} == said
    assert flat["data.crops"] == {"S": SMALL, "F": FOUR}.get(crops, crops)
    assert {key: flat[key] for key in ALL_ALIKE} == ALL_ALIKE
    network = (flat["model.arch"], flat["model.hidden_dim"], flat["model.head_norm"])
    assert network == NETWORKS.get(name, ("resnet50", 2048, True))


def test_one_gpu_has_the_small_batch_recipe_in_one_rank() -> None:
    four, one = flatten(load_preset("imagenet-200ep-bs256")), flatten(load_preset("imagenet-1gpu"))
    assert {key for key in four if four[key] != one[key]} == {"name", "data.batch_size", "model.sync_bn"}
    assert one["data.batch_size"] * RECIPES["imagenet-1gpu"].ranks == 4 * four["data.batch_size"]


def test_the_recipes_of_small_pictures_have_their_sources_numbers() -> None:
    imagenette, cifar, vit = (flatten(load_preset(name)) for name in ("imagenette", "cifar10", "vit-small"))
    rows = (
        (imagenette, "resnet18", "2x128@0.14-1+6x64@0.05-0.14", 256, 0.001, 1e-6, 3000, 2048),
        (cifar, "resnet18", "2x32@0.14-1", 512, 0.004, 1e-6, 512, 512),
        (vit, "timm:vit_small_patch16_224", FOUR, 256, 0.0005, 0.05, 3000, 2048),
    )
    for flat, *expected in rows:
        keys = ("model.arch", "data.crops", "data.batch_size", "optim.base_lr", "optim.weight_decay")
        assert [flat[key] for key in (*keys, "model.num_prototypes", "model.hidden_dim")] == expected
        assert (flat["optim.optimizer"], flat["optim.epochs"], flat["swav.queue_length"]) == ("adamw", 200, 0)
    assert [flat["model.small_stem"] for flat in (imagenette, cifar, vit)] == [False, True, False]
    assert cifar["data.augment.blur"] == 0
    assert (imagenette["data.augment.contrast"], imagenette["data.augment.hue"]) == (0.4, 0.1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_row_has_only_what_differs_from_its_base(name: str) -> None:
    row = PUBLISHED[name]
    base = PUBLISHED[row.base].config() if row.base else row.start()
    for key, value in row.changes.items():
        assert _value(base, key) != value, key


def test_the_list_names_every_recipe_with_its_accuracy_and_source() -> None:
    text = recipe_list()
    for row in RECIPES.values():
        assert f"\n{row.name} " in text
        assert row.what in text
        assert row.source in text
        assert (row.accuracy or "nothing published") in text


def test_the_table_of_the_documents_is_what_the_code_says() -> None:
    how = "put swav_dali.config.recipe_lists.markdown_table() in the place of the table"
    assert markdown_table() in DOCS.read_text(encoding="utf-8"), how


def _value(section: Any, key: str) -> Any:
    for part in key.split("."):
        assert is_dataclass(section)
        assert part in {field.name for field in fields(section)}
        section = getattr(section, part)
    return section
