"""Crops for comparing a maker of crops with the compiled kernels: pictures, rows, and a grid of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from pipelines.crops import parameters as p
from pipelines.crops.kernels import crops_of
from pipelines.crops.kernels_finish import FLOAT32

LEVELS = np.array([[1, 1, 1], [0, 0, 0]], np.float32)
"""The affine map that leaves levels as they are."""


class Case(NamedTuple):
    """uint8 pictures (height, width, 3), for each float32 rows (num, COLUMNS), and the side of the crops."""

    images: list[np.ndarray]
    rows: list[np.ndarray]
    size: int


def by_kernels(case: Case, affine: np.ndarray = LEVELS, kind: int = FLOAT32) -> np.ndarray:
    """(batch, num, size, size, 3) made by the compiled kernels."""
    pairs = zip(case.images, case.rows, strict=True)
    return np.stack([crops_of(image, rows, case.size, affine, kind) for image, rows in pairs])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours, noise, and a stripe of saturated and of gray pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 40
    image = 127 + 120 * np.sin(np.stack([5 * x, 7 * y + 1, 4 * (x + y)], -1) + rng.uniform(0, 6, 3))
    image = (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)
    image[: height // 4] = rng.choice(np.array([0, 1, 254, 255], np.uint8), (height // 4, width, 3))
    image[height // 2 : height // 2 + height // 5] = image[height // 2 : height // 2 + height // 5, :, :1]
    return image


def plain(windows: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Rows that only cut and resize."""
    rows = np.zeros((len(windows), p.COLUMNS), np.float32)
    rows[:, p.TOP : p.WIDTH + 1] = windows
    rows[:, p.BRIGHTNESS : p.SATURATION + 1] = 1
    return rows


def drawn(shape: tuple[int, ...], num: int, rng: np.random.Generator, *, least: int = 1) -> np.ndarray:
    """Rows of windows of any shape, down to `least` pixels, and distortions of the usual strength."""
    extent = np.stack([rng.integers(least, side + 1, num) for side in shape[:2]], axis=1)
    rows = _distorted(shape, extent, rng)
    rows[:, p.BRIGHTNESS : p.HUE] = rng.uniform(0.2, 1.8, (num, 3))
    rows[:, p.HUE] = rng.uniform(-0.2, 0.2, num)
    rows[:, p.SIGMA] = (rng.random(num) < 0.5) * rng.uniform(0.1, 2.0, num)
    return rows


def _distorted(shape: tuple[int, ...], extent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows = np.zeros((len(extent), p.COLUMNS), np.float32)
    rows[:, p.TOP : p.LEFT + 1] = rng.integers(0, np.array(shape[:2]) - extent + 1)
    rows[:, p.HEIGHT : p.WIDTH + 1] = extent
    for column, share in ((p.FLIP, 0.5), (p.JITTER, 0.85), (p.GRAY, 0.25), (p.SOLARIZE, 0.3)):
        rows[:, column] = rng.random(len(rows)) < share
    rows[:, p.ORDER] = rng.integers(0, len(p.ORDERS), len(rows))
    return rows


def _orders(size: int) -> Iterator[Case]:
    """Every order four times, windows of any shape down to a pixel, factors and sigmas beyond the usual."""
    rng = np.random.default_rng(size)
    images = [
        rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((250, 190), (90, 333), (301, 64), (17, 23))
    ]
    rows = []
    for image in images:
        extent = np.exp(rng.uniform(0, np.log(np.array(image.shape[:2]) + 0.9), (24, 2))).astype(int)
        each = _distorted(image.shape, extent, rng)
        each[:, p.ORDER] = np.arange(24)
        each[:, p.BRIGHTNESS : p.HUE] = rng.uniform(0, 2, (24, 3))
        each[:, p.HUE] = rng.uniform(-0.5, 0.5, 24)
        each[:, p.SIGMA] = (rng.random(24) < 0.5) * rng.uniform(0.05, 6.0, 24)
        rows.append(each)
    yield Case(images, rows, size)


def _large(height: int, width: int, size: int) -> Iterator[Case]:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    yield Case([image], [plain([(0, 0, height, width)])], size)


def _lengths(size: int) -> Iterator[Case]:
    """Windows of 150 lengths from 1 to 5000 pixels, one pixel high."""
    image = np.random.default_rng(2).integers(0, 256, (1, 5000, 3), dtype=np.uint8)
    widths = np.append(np.unique(np.geomspace(1, 5000, 215).astype(int))[:75], np.linspace(200, 5000, 75).astype(int))
    yield Case([image], [plain([(0, 0, 1, int(width)) for width in widths])], size)


def _colours(**columns: float) -> Iterator[Case]:
    """Sixteen crops of 1024 pixels that hold each of the 2^24 colours once."""
    rows = plain([(0, 0, 1024, 1024)])
    for name, value in {"JITTER": 1, **columns}.items():
        rows[:, getattr(p, name)] = value
    for part in range(16):
        red, green, blue = np.meshgrid(np.arange(16) + 16 * part, np.arange(256), np.arange(256), indexing="ij")
        yield Case([np.stack([red, green, blue], -1).astype(np.uint8).reshape(1024, 1024, 3)], [rows], 1024)


GRID: dict[str, Callable[[], Iterator[Case]]] = {
    **{f"orders at {size}": partial(_orders, size) for size in (8, 32, 37, 64, 96, 128, 160, 224)},
    **{
        f"{height} x {width} to {size}": partial(_large, height, width, size)
        for height, width, size in (
            (20, 6000, 224),
            (6000, 20, 224),
            (1, 9000, 96),
            (9000, 1, 96),
            (3000, 1100, 96),
            (1300, 1700, 37),
        )
    },
    **{f"lengths to {size}": partial(_lengths, size) for size in (96, 224)},
    **{
        f"every colour, {columns}": partial(_colours, **columns)
        for columns in (
            {"BRIGHTNESS": 1.37},
            {"CONTRAST": 0.61},
            {"SATURATION": 1.73},
            {"HUE": 0.13},
            {"HUE": -0.2},
            {"HUE": 0.47},
            {"JITTER": 0, "GRAY": 1},
        )
    },
}
"""The whole comparison by the name of its parts."""
