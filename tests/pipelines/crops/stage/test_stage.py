"""The stage's bookkeeping, without running a kernel: launches, traffic, tables, what is refused."""

from __future__ import annotations

import subprocess
from itertools import permutations

import numpy as np
import pytest
import torch
import triton
from ahead import KERNELS, launches_of

from pipelines.bench.crop_traffic import counted_traffic, traffic_sentence
from pipelines.config import IMAGENET_CROPS, Augmentation, CropGroup, Precision
from pipelines.crops import parameters as p
from pipelines.crops.kernels_blur import gaussian_weights
from pipelines.crops.kernels_resize import triangle_weights
from pipelines.crops.stage.gauss import blur_weights
from pipelines.crops.stage.jobs import ORDER_CODES, images_at_once, table_lengths
from pipelines.crops.stage.stage import CropStage
from pipelines.crops.stage.traffic import MOST_LAUNCHES, MOST_MEGABYTES_AN_IMAGE, traffic
from pipelines.errors import PipelineError


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_a_batch_keeps_within_its_limits(precision: Precision) -> None:
    counted = counted_traffic(IMAGENET_CROPS, Augmentation(), batch_size=256, precision=precision)
    assert counted.bytes / 256 <= MOST_MEGABYTES_AN_IMAGE * 1e6
    assert counted.launches <= MOST_LAUNCHES


def test_the_sentence_names_figures_and_limits() -> None:
    said = traffic_sentence(IMAGENET_CROPS, Augmentation(), batch_size=64)
    assert "MB of memory traffic an image (limit 8), 10 launches a batch of 64 (limit 12)" in said


@pytest.mark.parametrize("scratch_mib", [0, 3, 1024])
def test_launches_are_those_counted_and_none_may_contract(scratch_mib: int) -> None:
    rows = [np.zeros((5, group.num, p.COLUMNS), np.float32) for group in IMAGENET_CROPS]
    counted = traffic(IMAGENET_CROPS, rows, precision="float32", scratch_mib=scratch_mib)
    launches = launches_of(IMAGENET_CROPS, precision="float32", images=5, scratch_mib=scratch_mib)
    assert len(launches) == counted.launches
    assert [each.kernel.__name__ for each in launches[:5]] == list(KERNELS)
    assert all(each.options["enable_fp_fusion"] is False for each in launches)


def test_traffic_of_one_plain_crop_by_hand() -> None:
    group, row = CropGroup(num=1, size=32, min_scale=0.5, max_scale=1.0), np.zeros((1, 1, p.COLUMNS), np.float32)
    row[..., [p.HEIGHT, p.WIDTH]] = 40, 64
    described, tables = 6 * (14 * 4 + 8 * 8 + 12 * 4), 4 * 32 * (3 + 4 + 2)
    expected = described + 2 * tables + 3 * 40 * 64 + 3 * 32 * 32 * (1 + 1 + 4)
    assert traffic([group], [row], precision="float32").bytes == expected


def test_a_chunk_keeps_to_the_scratch_or_is_one_image() -> None:
    group = IMAGENET_CROPS[0]
    assert images_at_once(group, 0) == 1
    assert images_at_once(group, 64) * 2 * 3 * 224 * 224 * 5 <= 64 * 2**20


@pytest.mark.parametrize("size", [8, 37, 96, 224])
def test_tables_hold_every_weight_that_counts(size: int) -> None:
    lengths = np.unique(np.geomspace(1, 9000, 150).astype(np.int64))
    for length, room in zip(lengths, table_lengths(lengths, size), strict=True):
        weights = triangle_weights(int(length), size)[2]
        assert not weights[:, room // size :].any()


@pytest.mark.parametrize("size", [8, 9, 96])
def test_blur_weights_are_the_compiled_kernels(size: int) -> None:
    sigmas = np.array([0, 0.1, 0.3, 1.0, 2.0, 6.0], np.float32)
    weights, radii = blur_weights(sigmas, size)
    for sigma, row, radius in zip(sigmas[1:], weights[1:], radii[1:], strict=True):
        half = gaussian_weights(sigma, size)
        assert radius == len(half) - 1
        np.testing.assert_array_equal(row[: radius + 1], half)
        assert not row[radius + 1 :].any()
    assert radii[0] == 0


def test_order_codes_hold_every_order() -> None:
    orders = [tuple(int(code) >> 2 * slot & 3 for slot in range(4)) for code in ORDER_CODES]
    assert orders == list(permutations(range(4)))


def test_without_a_gpu_it_says_what_to_choose() -> None:
    with pytest.raises(PipelineError, match=r"need a CUDA device.*--data.crops-by cpu"):
        CropStage(IMAGENET_CROPS, np.ones((2, 3), np.float32), device=torch.device("cpu"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to find C compiler.\nPlease specify"),
        PermissionError(13, "Permission denied", "cache"),
        subprocess.CalledProcessError(1, ["gcc", "driver.c"]),
    ],
)
def test_a_machine_that_cannot_compile_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Broken:
        @property
        def active(self) -> None:
            raise error

    monkeypatch.setattr(triton.runtime, "driver", Broken())
    affine, cuda = np.ones((2, 3), np.float32), torch.device("cuda", 0)
    with pytest.raises(PipelineError, match=r"a C compiler, Python's headers.*--data.crops-by cpu") as raised:
        CropStage(IMAGENET_CROPS, affine, device=cuda)
    assert len(str(raised.value).splitlines()) == 1
