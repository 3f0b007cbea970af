"""Exact crops inside a DALI graph: the parameters' random operators, and one compiled operator for all crops.

`draw_parameters` draws on the CPU for either device, by named operators, so that a checkpoint restores them and
both devices see the same numbers. `exact_crops` is the CPU path: the kernels of pipelines.kernels run on DALI's
own threads, one image at a time, without the GIL. The GPU path that reads the same parameters is
pipelines.exact_arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from pipelines.config import Augmentation, CropGroup, Precision
from pipelines.errors import PipelineError
from pipelines.exact_operator import MOST_GROUPS, crop_operator
from pipelines.kernels import output_row
from pipelines.kernels_finish import BFLOAT16, FLOAT16, FLOAT32

_KINDS = {
    "float32": (FLOAT32, types.FLOAT),
    "float16": (FLOAT16, types.UINT16),
    "bfloat16": (BFLOAT16, types.UINT16),
}


def draw_parameters(shapes: DataNode, *, crops: Sequence[CropGroup], augment: Augmentation) -> list[DataNode]:
    """Draw everything random about every crop of an image.

    Args:
        shapes: int (2,) or (3,) per image on the CPU, height and width first.
        crops: the groups.
        augment: probabilities and ranges, where a group does not override them.

    Returns:
        One node per group, float32 (num, exact_parameters.COLUMNS) on the CPU.
    """
    return [_draw_group(shapes, group, augment.of(group), f"group{index}") for index, group in enumerate(crops)]


def _draw_group(shapes: DataNode, group: CropGroup, augment: Augmentation, name: str) -> DataNode:
    num = group.num

    def between(low: float, high: float, what: str) -> DataNode:
        # scaled by hand: DALI refuses a range without width, which is how one says "never"
        return fn.random.uniform(range=[0.0, 1.0], shape=[num], name=f"{name}_{what}") * (high - low) + low

    def coin(probability: float, what: str) -> DataNode:
        tossed = fn.random.coin_flip(probability=probability, shape=[num], name=f"{name}_{what}")
        return fn.cast(tossed, dtype=types.FLOAT)

    def around(strength: float, what: str) -> DataNode:
        return between(1.0 - strength, 1.0 + strength, what)

    drawn = [
        coin(augment.flip, "flip"),
        coin(augment.jitter, "jitter"),
        fn.cast(fn.random.uniform(values=list(range(24)), shape=[num], name=f"{name}_order"), dtype=types.FLOAT),
        around(augment.brightness, "brightness"),
        around(augment.contrast, "contrast"),
        around(augment.saturation, "saturation"),
        between(-augment.hue, augment.hue, "hue"),
        coin(augment.gray, "gray"),
        coin(augment.blur, "blur") * between(augment.min_sigma, augment.max_sigma, "sigma"),
        coin(augment.solarize, "solarize"),
    ]
    windows = [_draw_window(shapes, group, f"{name}_window{crop}") for crop in range(num)]
    return fn.cat(fn.stack(*windows, axis=0), fn.stack(*drawn, axis=1), axis=1)


def _draw_window(shapes: DataNode, group: CropGroup, name: str) -> DataNode:
    """Top, left, height, width as float32 (4,); torchvision's RandomResizedCrop draws from the same distribution."""
    anchor, shape = fn.random_crop_generator(
        shapes,
        random_area=[group.min_scale, group.max_scale],
        random_aspect_ratio=[3 / 4, 4 / 3],
        num_attempts=10,
        name=name,
    )
    return fn.cat(fn.cast(anchor, dtype=types.FLOAT), fn.cast(shape, dtype=types.FLOAT), axis=0)


def exact_crops(
    images: DataNode,
    parameters: Sequence[DataNode],
    *,
    crops: Sequence[CropGroup],
    augment: Augmentation,
    precision: Precision = "float32",
) -> list[DataNode]:
    """Cut, distort and normalize all crops of every image on the CPU.

    Args:
        images: uint8 (height, width, 3) on the CPU.
        parameters: one node per group, as drawn by `draw_parameters`.
        crops: the same groups.
        augment: mean and std are read from it.
        precision: type of the output; DALI's numba operator knows no 16-bit floats, so those come as their bits
            in uint16, to be viewed as the type by the reader of the batch.

    Returns:
        One node per group, (num, size, size, 3): HWC in memory, so a permuted view is channels_last.
    """
    if not 1 <= len(crops) <= MOST_GROUPS:
        raise PipelineError(
            "the exact operator writes one output per crop group",
            where="--data.crops",
            found=f"{len(crops)} groups",
            expected=f"1 to {MOST_GROUPS}",
        )
    kind, out_type = _KINDS[precision]
    output = types.Constant(output_row(normalization(augment), kind), device="cpu")
    return crop_operator(parameters, images, output, sizes=tuple(group.size for group in crops), out_type=out_type)


def normalization(augment: Augmentation) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Scale and offset per channel, float32 (2, 3): level * scale + offset is ToTensor and Normalize in one step."""
    mean, std = np.array(augment.mean), np.array(augment.std)
    return np.stack([1.0 / (255.0 * std), -mean / std]).astype(np.float32)
