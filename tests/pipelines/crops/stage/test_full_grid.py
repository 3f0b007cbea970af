"""The whole grid against the compiled kernels, slow: orders at every size, every colour, windows of every length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from interpreted import LEVELS, Interpreter

from pipelines.crops import parameters as p
from pipelines.crops.kernels import crops_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(checks_overflow=True) as started:
        yield started


def compared(interpreter: Interpreter, images: list[np.ndarray], rows: list[np.ndarray], size: int) -> None:
    ours = interpreter.crops(images, rows, size)
    theirs = np.stack([crops_of(image, each, size, LEVELS) for image, each in zip(images, rows, strict=True)])
    print(f"{size:4d} px: {ours.shape[0] * ours.shape[1]} crops, {ours.size} levels, {(ours != theirs).sum()} apart")
    np.testing.assert_array_equal(ours, theirs)


def whole(image: np.ndarray, num: int) -> np.ndarray:
    rows = np.zeros((num, p.COLUMNS), np.float32)
    rows[:, [p.HEIGHT, p.WIDTH]] = image.shape[:2]
    rows[:, p.BRIGHTNESS : p.SATURATION + 1] = 1
    return rows


def random_rows(shape: tuple[int, ...], orders: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Windows of any shape down to a pixel, factors beyond the usual, one distortion in two."""
    num = len(orders)
    rows = np.zeros((num, p.COLUMNS), np.float32)
    extent = np.stack([np.exp(rng.uniform(0, np.log(side + 0.9), num)).astype(int) for side in shape[:2]], axis=1)
    rows[:, p.TOP : p.LEFT + 1] = rng.integers(0, np.array(shape[:2]) - extent + 1)
    rows[:, p.HEIGHT : p.WIDTH + 1] = extent
    for column, share in ((p.FLIP, 0.5), (p.JITTER, 0.9), (p.GRAY, 0.3), (p.SOLARIZE, 0.3)):
        rows[:, column] = rng.random(num) < share
    rows[:, p.ORDER] = orders
    rows[:, p.BRIGHTNESS : p.HUE] = rng.uniform(0, 2, (num, 3))
    rows[:, p.HUE] = rng.uniform(-0.5, 0.5, num)
    rows[:, p.SIGMA] = (rng.random(num) < 0.5) * rng.uniform(0.05, 6.0, num)
    return rows


@pytest.mark.parametrize("size", [8, 32, 37, 64, 96, 128, 160, 224])
def test_every_order_at_every_size(interpreter: Interpreter, size: int) -> None:
    rng = np.random.default_rng(size)
    shapes = [(250, 190), (90, 333), (301, 64), (17, 23)]
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    compared(interpreter, images, [random_rows(shape, np.arange(24), rng) for shape in shapes], size)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((20, 6000), 224), ((6000, 20), 224), ((1, 9000), 96), ((9000, 1), 96), ((3000, 1100), 96), ((1300, 1700), 37)],
)
def test_very_long_and_large_pictures(interpreter: Interpreter, shape: tuple[int, int], size: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    compared(interpreter, [image], [whole(image, 1)], size)


@pytest.mark.parametrize("size", [96, 224])
def test_windows_of_every_length(interpreter: Interpreter, size: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (1, 5000, 3), dtype=np.uint8)
    rows = whole(image, 150)
    rows[:, p.WIDTH] = np.unique(np.geomspace(1, 5000, 215).astype(int))[:150]
    rows[75:, p.WIDTH] = np.linspace(200, 5000, 75).astype(int)
    compared(interpreter, [image], [rows], size)


STEPS = [
    {"BRIGHTNESS": 1.37},
    {"CONTRAST": 0.61},
    {"SATURATION": 1.73},
    {"HUE": 0.13},
    {"HUE": -0.2},
    {"HUE": 0.47},
    {"JITTER": 0, "GRAY": 1},
]


@pytest.mark.parametrize("columns", STEPS, ids=str)
def test_every_colour(interpreter: Interpreter, columns: dict[str, float]) -> None:
    """Sixteen crops of 1024 pixels hold each of the 2^24 colours once."""
    for part in range(16):
        red, green, blue = np.meshgrid(np.arange(16) + 16 * part, np.arange(256), np.arange(256), indexing="ij")
        image = np.stack([red, green, blue], -1).astype(np.uint8).reshape(1024, 1024, 3)
        rows = whole(image, 1)
        for name, value in {"JITTER": 1, **columns}.items():
            rows[:, getattr(p, name)] = value
        compared(interpreter, [image], [rows], 1024)
