"""What only a GPU can show of the stage: on hardware, compiled, it gives the bits of the compiled CPU kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crop_cases import GRID, Case, by_kernels, drawn, picture
from interpreted import Request, made

from pipelines.config import Augmentation
from pipelines.crops.exact import normalization
from pipelines.crops.kernels_finish import BFLOAT16, FLOAT16, FLOAT32

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize("part", GRID)
def test_no_level_is_apart(part: str) -> None:
    for case in GRID[part]():
        np.testing.assert_array_equal(made(Request(*case), CUDA), by_kernels(case))


@pytest.mark.parametrize(("precision", "kind"), [("float32", FLOAT32), ("float16", FLOAT16), ("bfloat16", BFLOAT16)])
@pytest.mark.parametrize("size", [96, 224])
def test_the_same_bits_in_every_type_and_chunk(precision: str, kind: int, size: int) -> None:
    """Pictures at odd addresses, twenty chunks; run twice, because a race need not show at once."""
    rng, affine = np.random.default_rng(size), normalization(Augmentation())
    images = [picture(int(rng.integers(60, 400)), int(rng.integers(60, 400)), seed) for seed in range(20)]
    case = Case(images, [drawn(image.shape, 3, rng, least=8) for image in images], size)
    expected = by_kernels(case, affine, kind)
    for scratch_mib in (0, 1024):
        ours = made(Request(*case, affine=affine, precision=precision, scratch_mib=scratch_mib), CUDA)
        np.testing.assert_array_equal(ours.view(np.uint8), expected.view(np.uint8))
