"""The blur against torchvision's 23-tap Gaussian, a slow float64 convolution, and its own gray short cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from pipelines.crops import parameters as p
from pipelines.parity.compare import our_crops


def noise(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)


def row(size: int, sigma: float, gray: bool = False) -> np.ndarray:
    parameters = np.zeros((1, p.COLUMNS), np.float32)
    parameters[0, [p.HEIGHT, p.WIDTH, p.SIGMA, p.GRAY]] = size, size, sigma, gray
    return parameters


@pytest.mark.parametrize("size", [24, 33, 96, 224])
@pytest.mark.parametrize("sigma", [0.1, 0.28, 0.5, 0.9, 1.05, 1.5, 2.0])
def test_equals_torchvision_within_a_level(size: int, sigma: float) -> None:
    image = noise(size)
    theirs = functional.gaussian_blur(torch.from_numpy(image.copy()).permute(2, 0, 1), [23, 23], [sigma, sigma])
    apart = np.abs(our_crops(image, row(size, sigma), size)[0].astype(int) - theirs.permute(1, 2, 0).numpy())
    assert apart.max() <= 1
    assert apart.mean() < 0.01


@pytest.mark.parametrize("size", [8, 9, 12])
def test_small_crops_blur_as_far_as_they_reach(size: int) -> None:
    image, sigma = noise(size), 2.0
    radius = min(math.ceil(3.5 * sigma), size - 1)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(image.astype(np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    down = sum(w * padded[k : k + size] for k, w in enumerate(weights))
    slow = sum(w * down[:, k : k + size] for k, w in enumerate(weights))
    assert np.abs(our_crops(image, row(size, sigma), size)[0] - slow).max() <= 0.51


def test_the_weights_sum_to_one_so_a_flat_crop_stays() -> None:
    for level in (0, 1, 127, 255):
        image = np.full((96, 96, 3), level, np.uint8)
        np.testing.assert_array_equal(our_crops(image, row(96, 1.7), 96)[0], image)


def test_a_gray_crop_blurs_to_three_equal_channels() -> None:
    image = noise(64)
    gray = our_crops(image, row(64, 0, gray=True), 64)[0]
    blurred = our_crops(image, row(64, 1.3, gray=True), 64)[0]
    np.testing.assert_array_equal(blurred, our_crops(gray, row(64, 1.3), 64)[0])
    assert (blurred == blurred[:, :, :1]).all()
