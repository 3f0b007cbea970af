"""The fast quality where it should equal torchvision, and where it is known not to."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.crops import parameters as p
from pipelines.parity.fast_levels import fast_levels
from pipelines.parity.reference import NEUTRAL, torchvision_crops

SIZE = 32


def picture(seed: int = 0) -> np.ndarray:
    """Smooth colours, uint8 (80, 100, 3)."""
    generator = np.random.default_rng(seed)
    down, along = np.meshgrid(np.linspace(0, 1, 80), np.linspace(0, 1, 100), indexing="ij")
    waves = [
        np.sin(2 * np.pi * (generator.uniform(0.5, 2) * down + generator.uniform(0.5, 2) * along + generator.random()))
        for _ in range(3)
    ]
    return np.rint(127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def row(**columns: float) -> np.ndarray:
    """Parameters of one crop: the window from (8, 12) of 56 x 64 pixels, nothing done to it but `columns`."""
    neutral = np.zeros((1, p.COLUMNS), np.float32)
    neutral[0, p.TOP : p.WIDTH + 1] = 8, 12, 56, 64
    neutral[0, p.BRIGHTNESS : p.HUE + 1] = NEUTRAL
    for name, value in columns.items():
        neutral[0, getattr(p, name)] = value
    return neutral


def crops(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fast crop and torchvision's, int (32, 32, 3)."""
    ours, theirs = fast_levels([picture()], [parameters], SIZE), torchvision_crops(picture(), parameters, SIZE)
    return ours[0].astype(int), theirs[0].astype(int)


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"FLIP": 1},
        {"JITTER": 1, "BRIGHTNESS": 0.6},
        {"JITTER": 1, "SATURATION": 1.4},
        {"GRAY": 1},
        {"SIGMA": 1.5},
        {"SOLARIZE": 1},
    ],
)
def test_operations_without_hue_and_contrast_are_torchvisions_within_rounding(columns: dict[str, float]) -> None:
    ours, theirs = crops(row(**columns))
    apart = np.abs(ours - theirs)
    if "SOLARIZE" in columns:  # a level on the threshold may fall on either side
        apart = np.minimum(apart, np.abs(ours - (255 - theirs)))
    assert apart.mean() < 1.0
    assert apart.max() <= 6


def test_a_crop_whose_jitter_coin_says_no_ignores_the_factors() -> None:
    ignored = crops(row(JITTER=0, BRIGHTNESS=0.3, HUE=0.2, CONTRAST=1.7, SATURATION=0.2))[0]
    np.testing.assert_array_equal(ignored, crops(row())[0])


def test_hue_is_turned_in_another_space_than_torchvisions() -> None:
    ours, theirs = crops(row(JITTER=1, HUE=0.2))
    assert np.abs(ours - theirs).mean() > 5


def test_contrast_turns_about_the_middle_instead_of_the_crops_mean() -> None:
    ours, plain = crops(row(JITTER=1, CONTRAST=0.5))[0], crops(row())[0]
    assert np.abs(ours - (128 + 0.5 * (plain - 128))).max() <= 1
