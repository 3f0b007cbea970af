"""Crop and resize against Pillow itself, bit for bit, over a grid of windows."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from PIL import Image

from pipelines.crops import parameters as p
from pipelines.parity.compare import our_crops

PILLOW_CHOOSES_ORDER = int(PIL.__version__.split(".")[0]) >= 13


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rows(windows: list[tuple[int, int, int, int]], flip: bool = False) -> np.ndarray:
    parameters = np.zeros((len(windows), p.COLUMNS), np.float32)
    parameters[:, p.TOP : p.WIDTH + 1] = windows
    parameters[:, p.FLIP] = flip
    return parameters


def pillow(image: np.ndarray, window: tuple[int, int, int, int], size: int) -> np.ndarray:
    top, left, height, width = window
    crop = Image.fromarray(image).crop((left, top, left + width, top + height))
    return np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", [8, 32, 96, 160, 224])
@pytest.mark.parametrize("flip", [False, True])
def test_equals_pillow_bit_for_bit(size: int, flip: bool) -> None:
    image, rng = noise(401, 533), np.random.default_rng(size)
    windows = []
    for _ in range(40):
        height, width = int(rng.integers(1, 402)), int(rng.integers(1, 534))
        if height - size > 2 * (width - size) and height > size and not PILLOW_CHOOSES_ORDER:
            continue  # older Pillow weighs columns first here, newer rows
        windows.append((int(rng.integers(0, 402 - height)), int(rng.integers(0, 534 - width)), height, width))
    ours = our_crops(image, rows(windows, flip), size)
    theirs = np.stack([pillow(image, window, size) for window in windows])
    np.testing.assert_array_equal(ours, theirs[:, :, ::-1] if flip else theirs)


@pytest.mark.parametrize(
    "window",
    [
        (0, 0, 1, 1),
        (400, 532, 1, 1),
        (0, 0, 401, 533),
        (0, 0, 401, 1),
        (0, 0, 1, 533),
        (385, 517, 16, 16),
        (3, 5, 15, 6),
    ],
)
def test_equals_pillow_at_the_borders(window: tuple[int, int, int, int]) -> None:
    image = noise(401, 533, seed=1)
    apart = our_crops(image, rows([window]), 48)[0].astype(int) - pillow(image, window, 48)
    assert np.abs(apart).max() <= (0 if PILLOW_CHOOSES_ORDER else 1)


def test_equals_pillow_when_shrinking_a_hundredfold() -> None:
    image = noise(1700, 1500, seed=2)
    window = (0, 0, 1700, 1500)
    np.testing.assert_array_equal(our_crops(image, rows([window]), 16)[0], pillow(image, window, 16))


def test_reads_nothing_outside_the_window() -> None:
    image, window = noise(120, 150, seed=3), (30, 40, 50, 61)
    inside = our_crops(image, rows([window]), 96)
    other = noise(120, 150, seed=4)
    other[30:80, 40:101] = image[30:80, 40:101]
    np.testing.assert_array_equal(our_crops(other, rows([window]), 96), inside)


def test_a_window_of_the_crops_own_size_is_copied() -> None:
    image = noise(120, 150, seed=5)
    np.testing.assert_array_equal(our_crops(image, rows([(7, 9, 64, 64)]), 64)[0], image[7:71, 9:73])
