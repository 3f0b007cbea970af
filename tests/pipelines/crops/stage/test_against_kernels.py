"""The stage in Triton's interpreter against the compiled kernels: no level apart, at any step, in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from crop_cases import Case, by_kernels, drawn, picture, plain
from interpreted import Interpreter

from pipelines.config import Augmentation
from pipelines.crops import parameters as p
from pipelines.crops.exact import normalization
from pipelines.crops.kernels_finish import BFLOAT16, FLOAT16, FLOAT32
from pipelines.parity.compare import compare, our_crops

KINDS = {"float32": FLOAT32, "float16": FLOAT16, "bfloat16": BFLOAT16}


def test_every_order_of_the_jitter(interpreter: Interpreter) -> None:
    image = picture(48, 40)
    rows = drawn(image.shape, len(p.ORDERS), np.random.default_rng(1), least=20)
    rows[:, p.JITTER], rows[:, p.ORDER] = 1, np.arange(len(p.ORDERS))
    ours = interpreter.crops([image], [rows], 32)
    np.testing.assert_array_equal(ours, by_kernels(Case([image], [rows], 32)))


@pytest.mark.parametrize(
    ("size", "windows"),
    [
        (32, [(0, 0, 32, 32), (7, 9, 1, 1), (59, 0, 1, 80), (0, 79, 60, 1), (3, 5, 15, 6), (2, 3, 50, 75)]),
        (37, [(1, 1, 37, 37), (0, 0, 60, 40), (0, 0, 59, 48), (10, 10, 2, 2)]),
        (96, [(0, 0, 60, 80), (20, 30, 9, 40)]),
        (224, [(0, 0, 60, 80)]),
    ],
)
def test_windows_of_every_shape(interpreter: Interpreter, size: int, windows: list[tuple[int, int, int, int]]) -> None:
    """Copied, one pixel, one row, one column, up and down, rows first (60 x 40 to 37) and the edge of that rule."""
    image, rows = picture(60, 80), plain(windows)
    flipped = rows.copy()
    flipped[:, p.FLIP] = 1
    ours = interpreter.crops([image, image], [rows, flipped], size)
    np.testing.assert_array_equal(ours, by_kernels(Case([image, image], [rows, flipped], size)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 700)])
def test_pictures_of_a_pixel_and_very_long_ones(interpreter: Interpreter, shape: tuple[int, int]) -> None:
    image = picture(*shape)
    rows = drawn(shape, 2, np.random.default_rng(3), least=min(shape))
    rows[0, p.TOP : p.WIDTH + 1] = 0, 0, *shape
    np.testing.assert_array_equal(interpreter.crops([image], [rows], 32), by_kernels(Case([image], [rows], 32)))


@pytest.mark.parametrize(("size", "num"), [(32, 4), (96, 2), (224, 1)])
def test_whole_chains_in_chunks(interpreter: Interpreter, size: int, num: int) -> None:
    """Pictures of several sizes and odd addresses; the least scratch makes every image a chunk of its own."""
    rng = np.random.default_rng(size)
    images = [picture(70, 51, 4), picture(53, 91, 5)]
    rows = [drawn(image.shape, num, rng, least=16) for image in images]
    rows[0][0, [p.JITTER, p.GRAY, p.SIGMA, p.SOLARIZE]] = 1, 1, 1.7, 1
    expected = by_kernels(Case(images, rows, size))
    np.testing.assert_array_equal(interpreter.crops(images, rows, size, scratch_mib=0), expected)


@pytest.mark.parametrize("precision", list(KINDS))
def test_the_same_bits_in_every_type(interpreter: Interpreter, precision: str) -> None:
    image, affine = picture(40, 40), normalization(Augmentation())
    rows = drawn(image.shape, 3, np.random.default_rng(7), least=20)
    ours = interpreter.crops([image], [rows], 32, affine=affine, precision=precision)
    expected = by_kernels(Case([image], [rows], 32), affine, KINDS[precision])
    np.testing.assert_array_equal(ours.view(np.uint8), expected.view(np.uint8))


def test_wide_blurs_reach_as_far(interpreter: Interpreter) -> None:
    image, rows = picture(40, 40), plain([(0, 0, 40, 40)] * 3)
    rows[:, p.SIGMA] = 0.01, 3.1, 6.0
    for size in (8, 32):
        np.testing.assert_array_equal(interpreter.crops([image], [rows], size), by_kernels(Case([image], [rows], size)))


def test_each_step_is_the_kernels_and_stands_to_torchvision_as_they_do(interpreter: Interpreter) -> None:
    image = picture(45, 60, 8)
    rows = drawn(image.shape, 3, np.random.default_rng(9), least=24)
    rows[:, p.SIGMA] = 0.4, 0.9, 1.6

    def make(images: Sequence[np.ndarray], rows: Sequence[np.ndarray], size: int) -> np.ndarray:
        made = interpreter.levels(images, rows, size)
        np.testing.assert_array_equal(made, our_crops(images[0], rows[0], size))
        return made

    found = {(d.step, d.against): d for d in compare([image], [rows], 32, make=make)}
    for step in ("crop + resize", "brightness", "contrast", "saturation", "gray", "solarize"):
        assert found[step, "tensor"].most == 0
    for step in ("hue", "blur"):
        assert found[step, "tensor"].most <= 1
    assert found["chain before blur", "tensor"].mean < 0.01


def test_a_window_beyond_its_picture_is_refused(interpreter: Interpreter) -> None:
    with pytest.raises(RuntimeError, match=r"reaches beyond its decoded picture.*\[10, 0, 31, 40\]"):
        interpreter.crops([picture(40, 40)], [plain([(0, 0, 40, 40), (10, 0, 31, 40)])], 32)
