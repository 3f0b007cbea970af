"""Normalization against torchvision's ToTensor and Normalize, and 16-bit rounding against numpy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import transforms

from pipelines.config import Augmentation
from pipelines.crops import parameters as p
from pipelines.crops.exact import normalization
from pipelines.crops.kernels import crops_of
from pipelines.crops.kernels_finish import BFLOAT16, FLOAT16, FLOAT32


def all_levels() -> np.ndarray:
    return np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, -1)


def finished(affine: np.ndarray, kind: int) -> np.ndarray:
    row = np.zeros((1, p.COLUMNS), np.float32)
    row[0, [p.HEIGHT, p.WIDTH]] = 16
    return crops_of(all_levels(), row, 16, affine, kind)[0]


def test_equals_to_tensor_and_normalize() -> None:
    augment = Augmentation()
    theirs = transforms.Compose([transforms.ToTensor(), transforms.Normalize(augment.mean, augment.std)])(all_levels())
    ours = finished(normalization(augment), FLOAT32)
    np.testing.assert_allclose(ours, theirs.permute(1, 2, 0).numpy(), atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1 / 57.0, 1e-5, 1e-8, 200.0, -0.37])
def test_sixteen_bit_outputs_round_to_nearest_even(scale: float) -> None:
    affine = np.array([[scale] * 3, [-0.4 * scale] * 3], np.float32)
    single = finished(affine, FLOAT32)
    np.testing.assert_array_equal(finished(affine, FLOAT16), single.astype(np.float16).view(np.uint16))
    brain = torch.from_numpy(single).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(finished(affine, BFLOAT16), brain)
