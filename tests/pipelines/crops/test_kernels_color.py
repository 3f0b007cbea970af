"""Jitter and gray against torchvision's tensor functions: bits for blends and gray, one level for hue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from pipelines.crops import parameters as p
from pipelines.parity.compare import our_crops

SIZE = 256
ADJUST = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)


def picture(seed: int) -> np.ndarray:
    """Smooth colours, noise, and a third of saturated and gray pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    image = 127 + 120 * np.sin(np.stack([5 * x, 7 * y + 1, 4 * (x + y)], -1) + rng.uniform(0, 6, 3))
    image += rng.normal(0, 12, image.shape)
    image = image.clip(0, 255).astype(np.uint8)
    image[:20] = rng.choice(np.array([0, 1, 254, 255], np.uint8), (20, SIZE, 3))
    image[20:40] = image[20:40, :, :1]
    return image


def row(**columns: float) -> np.ndarray:
    """One crop of the whole picture, neutral but for the columns given."""
    parameters = np.zeros((1, p.COLUMNS), np.float32)
    parameters[0, [p.HEIGHT, p.WIDTH]] = SIZE
    parameters[0, p.BRIGHTNESS : p.SATURATION + 1] = 1
    for name, value in columns.items():
        parameters[0, getattr(p, name)] = value
    return parameters


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


def apart(ours: np.ndarray, theirs: torch.Tensor) -> np.ndarray:
    return np.abs(ours.astype(int) - theirs.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("name", ["BRIGHTNESS", "CONTRAST", "SATURATION"])
@pytest.mark.parametrize("factor", [0.0, 0.2, 0.55, 0.999, 1.001, 1.3, 1.8, 2.0])
def test_a_blend_is_torchvisions_bit_for_bit(name: str, factor: float) -> None:
    image, factor = picture(1), float(np.float32(factor))
    ours = our_crops(image, row(JITTER=1, **{name: factor}), SIZE)[0]
    theirs = ADJUST[getattr(p, name) - p.BRIGHTNESS](tensor(image), factor)
    assert apart(ours, theirs).max() == 0


@pytest.mark.parametrize("turn", [-0.5, -0.2, -0.07, 0.01, 0.13, 0.2, 0.34, 0.5])
def test_hue_is_within_a_level_for_colours_of_the_whole_cube(turn: float) -> None:
    axis = np.arange(0, 256, 4, dtype=np.uint8) + np.uint8(np.random.default_rng(3).integers(0, 4))
    image = np.stack(np.meshgrid(axis, axis, axis[::4], indexing="ij"), -1).reshape(SIZE, SIZE, 3)
    turn = float(np.float32(turn))
    different = apart(our_crops(image, row(JITTER=1, HUE=turn), SIZE)[0], functional.adjust_hue(tensor(image), turn))
    assert different.max() <= 1
    assert different.mean() < 1e-3


def test_neutral_factors_change_no_colour() -> None:
    for red in range(0, 256, 15):
        green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
        image = np.stack([np.full_like(green, red), green, blue], -1)
        np.testing.assert_array_equal(our_crops(image, row(JITTER=1), SIZE)[0], image)


def test_gray_is_torchvisions_bit_for_bit() -> None:
    image = picture(2)
    theirs = functional.rgb_to_grayscale(tensor(image), num_output_channels=3)
    assert apart(our_crops(image, row(GRAY=1), SIZE)[0], theirs).max() == 0


@pytest.mark.parametrize("order", range(24))
def test_operations_run_in_the_order_drawn(order: int) -> None:
    image, factors = picture(order), [float(np.float32(f)) for f in (1.4, 0.6, 1.7, 0.15)]
    columns = dict(zip(("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"), factors, strict=True))
    ours = our_crops(image, row(JITTER=1, ORDER=order, **columns), SIZE)[0]
    theirs = tensor(image)
    for operation in p.ORDERS[order]:
        theirs = ADJUST[operation](theirs, factors[operation])
    assert apart(ours, theirs).mean() < 0.001
    assert apart(ours, theirs).max() <= 3  # a level of hue, stretched by the operations after it


def test_without_the_jitter_coin_factors_do_nothing() -> None:
    image = picture(4)
    np.testing.assert_array_equal(our_crops(image, row(BRIGHTNESS=0.3, HUE=0.2), SIZE)[0], image)
