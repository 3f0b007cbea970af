"""What the parity harness must find: our crops are torchvision's, and a wrong augmentation does not pass."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p
from pipelines.parity.compare import STEPS, Difference, compare, only, our_crops, table
from pipelines.parity.distributions import compare_draws, joined, statistics, two_sample
from pipelines.parity.reference import torchvision_crops, torchvision_rows

GROUP = CropGroup(num=4, size=48, min_scale=0.14, max_scale=1.0)
SMALL = CropGroup(num=8, size=24, min_scale=0.14, max_scale=1.0)


def pictures(count: int) -> list[np.ndarray]:
    """Smooth colourful pictures with edges and noise, of many shapes."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        height, width = int(rng.integers(70, 140)), int(rng.integers(70, 140))
        y, x = np.mgrid[0:height, 0:width] / 100
        waves = [np.sin(rng.uniform(1, 9) * x + rng.uniform(1, 9) * y + rng.uniform(0, 6)) for _ in range(3)]
        image = rng.uniform(60, 190, 3) + rng.uniform(20, 90, 3) * np.stack(waves, -1)
        image[height // 3 : height // 2, width // 4 : width // 2] = rng.uniform(0, 255, 3)
        found.append((image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8))
    return found


def drawn(images: list[np.ndarray], group: CropGroup = GROUP) -> list[np.ndarray]:
    generator = torch.Generator().manual_seed(5)
    return [torchvision_rows(image.shape, group, Augmentation(), generator) for image in images]


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], Difference]:
    images = pictures(12)
    return {(d.step, d.against): d for d in compare(images, drawn(images), GROUP.size)}


def test_crop_and_resize_lie_within_a_third_of_a_level_of_pillow(found: dict[tuple[str, str], Difference]) -> None:
    assert found["crop + resize", "pillow"].mean <= 0.3


@pytest.mark.parametrize("step", ["brightness", "contrast", "saturation", "hue", "gray", "blur"])
def test_every_operation_lies_within_two_levels_of_the_tensor_path(
    found: dict[tuple[str, str], Difference], step: str
) -> None:
    assert found[step, "tensor"].most <= 2
    assert found[step, "tensor"].mean < 0.01


def test_the_chain_before_the_blur_lies_within_a_level_of_pillow(found: dict[tuple[str, str], Difference]) -> None:
    assert found["chain before blur", "pillow"].mean <= 1.0
    assert found["chain before blur", "tensor"].mean < 0.01


def test_the_table_has_a_line_for_every_step_and_yardstick(found: dict[tuple[str, str], Difference]) -> None:
    assert len(table(list(found.values())).splitlines()) == 1 + 2 * len(STEPS) + 1


def test_a_single_step_leaves_everything_else_neutral() -> None:
    image = pictures(1)[0]
    rows = only("hue", drawn([image])[0])
    assert (rows[:, [p.FLIP, p.GRAY, p.SIGMA]] == 0).all()
    assert (rows[:, p.BRIGHTNESS : p.HUE] == 1).all()
    assert (rows[:, p.JITTER] == 1).all()


def test_random_draws_cannot_be_told_from_torchvisions() -> None:
    values = compare_draws(pictures(32), SMALL, Augmentation(), rounds=8, seed=11)
    assert len(values) == 13
    assert min(values.values()) > 1e-3, values


def test_wrong_augmentation_is_told_apart() -> None:
    wrong_group = CropGroup(num=8, size=24, min_scale=0.14, max_scale=0.7)
    wrong_augment = Augmentation(brightness=0.2, saturation=0.0, hue=0.0, blur=0.0, gray=0.0)
    generator = torch.Generator().manual_seed(1)
    ours, theirs = [], []
    for image in pictures(24) * 5:
        wrong = torchvision_rows(image.shape, wrong_group, wrong_augment, generator)
        right = torchvision_rows(image.shape, SMALL, Augmentation(), generator)
        ours.append(statistics(our_crops(image, wrong, SMALL.size), wrong, image.shape))
        theirs.append(statistics(torchvision_crops(image, right, SMALL.size), right, image.shape))
    values = two_sample(joined(ours), joined(theirs))
    for name in ("area", "mean red", "saturation", "hue", "sharpness"):
        assert values[name] < 1e-3, name


def photographs() -> list[np.ndarray]:
    root = Path(os.environ.get("SWAV_DALI_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
    files = sorted((root / "imagenet-samples").glob("*.JPEG"))[::16]
    if not files:
        pytest.skip("no photographs: set SWAV_DALI_DATA to a folder that holds imagenet-samples")
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


@pytest.mark.parametrize(("num", "size", "scale"), [(1, 224, (0.14, 1.0)), (2, 96, (0.05, 0.14))])
def test_photographs_keep_the_same_bounds(num: int, size: int, scale: tuple[float, float]) -> None:
    images, group = photographs(), CropGroup(num=num, size=size, min_scale=scale[0], max_scale=scale[1])
    found = {(d.step, d.against): d for d in compare(images, drawn(images, group), size)}
    assert found["crop + resize", "pillow"].mean <= 0.3
    assert found["chain before blur", "pillow"].mean <= 1.0
    assert found["whole chain", "tensor"].most <= 3
