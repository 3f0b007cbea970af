"""The exact crops in DALI operators: against the compiled kernels on the CPU, and every operator known to the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import backend, fn, pipeline_def
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from pipelines.config import IMAGENET_CROPS, Augmentation, CropGroup
from pipelines.crops import parameters as p
from pipelines.crops.exact import draw_parameters
from pipelines.crops.exact_arithmetic import arithmetic_crops
from pipelines.parity.compare import our_crops
from pipelines.parity.reference import torchvision_rows


def picture(seed: int) -> np.ndarray:
    """Coloured waves with some noise, (60 + 13 * seed, 90 - 5 * seed, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 60 + 13 * seed, 0 : 90 - 5 * seed] / 20
    waves = np.stack([np.sin(rng.uniform(1, 4) * x + rng.uniform(1, 4) * y) for _ in range(3)], -1)
    return (128 + 110 * waves + rng.normal(0, 5, waves.shape)).clip(0, 255).astype(np.uint8)


IMAGES = [picture(seed) for seed in range(8)]
LEVELS = Augmentation(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
GROUP = CropGroup(num=6, size=32, min_scale=0.14, max_scale=1.0)


def made(rows: Sequence[np.ndarray], group: CropGroup = GROUP) -> list[np.ndarray]:
    """The group's crops of every image as levels, through a graph with conditionals as the loader's is."""

    @pipeline_def(batch_size=len(IMAGES), num_threads=1, device_id=None, seed=1, enable_conditionals=True)
    def graph() -> tuple[DataNode, ...]:
        images = fn.external_source(source=lambda: IMAGES, layout="HWC")
        given = fn.external_source(source=lambda: list(rows))
        return tuple(arithmetic_crops(images, [given], crops=[group], augment=LEVELS))

    pipe: Any = graph()
    pipe.build()
    (crops,) = pipe.run()
    return list(np.array(crops.as_tensor()))


def drawn(seed: int) -> list[np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    return [torchvision_rows(image.shape, GROUP, Augmentation(), generator) for image in IMAGES]


@pytest.mark.parametrize("seed", range(3))
def test_distortions_equal_the_kernels_within_two_levels(seed: int) -> None:
    """On windows that need no resize, so that only the distortions are compared."""
    rows = drawn(seed)
    for each in rows:
        each[:, [p.TOP, p.LEFT]] = np.minimum(each[:, [p.TOP, p.LEFT]], 20)
        each[:, [p.HEIGHT, p.WIDTH]] = GROUP.size
    for image, each, theirs in zip(IMAGES, rows, made(rows), strict=True):
        apart = np.abs(our_crops(image, each, GROUP.size) - theirs)
        assert apart.max() <= 2
        assert apart.mean() < 0.02


def test_every_order_of_operations_has_its_slots() -> None:
    rows = []
    for start in (0, 6, 12, 18):
        row = np.zeros((6, p.COLUMNS), np.float32)
        row[:, [p.TOP, p.LEFT, p.HEIGHT, p.WIDTH, p.JITTER]] = 5, 7, 32, 32, 1
        row[:, p.BRIGHTNESS : p.HUE + 1] = 1.4, 0.6, 1.7, 0.15
        row[:, p.ORDER] = np.arange(start, start + 6)
        rows.append(row)
    for image, each, theirs in zip(IMAGES, rows * 2, made(rows * 2), strict=True):
        assert np.abs(our_crops(image, each, GROUP.size) - theirs).mean() < 0.02


def test_crop_and_resize_lie_within_a_third_of_a_level_in_the_mean() -> None:
    rows = drawn(9)
    for each in rows:
        each[:, [p.JITTER, p.GRAY, p.SIGMA]] = 0
    apart = [
        np.abs(our_crops(image, each, GROUP.size) - theirs).mean()
        for image, each, theirs in zip(IMAGES, rows, made(rows), strict=True)
    ]
    assert np.mean(apart) <= 0.3


def test_every_operator_on_pictures_has_a_gpu_backend() -> None:
    pipe = Pipeline(batch_size=2, num_threads=1, device_id=0)
    with pipe:
        images = fn.external_source(name="images", layout="HWC").gpu()
        parameters = draw_parameters(fn.external_source(name="shapes"), crops=IMAGENET_CROPS, augment=Augmentation())
        crops = arithmetic_crops(images, parameters, crops=IMAGENET_CROPS, augment=Augmentation(), half=True)
    assert [node.device for node in crops] == ["gpu", "gpu"]
    operators = {kind for kind, device in _operators(crops) if device == "gpu"}
    assert {"Resize", "GaussianBlur", "CropMirrorNormalize"} <= operators
    assert operators <= set(backend.RegisteredGPUOps())
    assert {kind for kind, device in _operators(crops) if device == "cpu"} <= {
        *backend.RegisteredCPUOps(),
        "ExternalSource",
    }


def _operators(nodes: Sequence[DataNode]) -> set[tuple[str, str]]:
    """Kind and device of every operator the nodes come from."""
    found, waiting = set(), list(nodes)
    seen: set[int] = set()
    while waiting:
        source = waiting.pop().source
        if source is None or id(source) in seen:
            continue
        seen.add(id(source))
        found.add(
            (
                source._op.schema_name if hasattr(source._op, "schema_name") else type(source._op).__name__,
                source._op.device,
            )
        )
        waiting += source.inputs
    return found
