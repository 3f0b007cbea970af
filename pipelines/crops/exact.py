"""Exact crops inside a DALI graph: the parameters' random operators, and one compiled operator for all crops.

`draw_parameters` draws on the CPU for either device, by named operators, so that a checkpoint restores them and
both devices see the same numbers. `exact_crops` is the CPU path: the kernels of pipelines.crops.kernels run on DALI's
own threads, one image at a time, without the GIL. The GPU path that reads the same parameters is pipelines.crops.stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode

from pipelines.config import Augmentation, CropGroup, Precision
from pipelines.crops import parameters as p
from pipelines.crops.exact_operator import crop_operator
from pipelines.crops.kernels import output_row
from pipelines.crops.kernels_finish import BFLOAT16, FLOAT16, FLOAT32

Array = np.ndarray[Any, np.dtype[np.float32]]
_ALWAYS = 2.0
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
        augment: probabilities and ranges.

    Returns:
        One node per group, float32 (num, exact_parameters.COLUMNS) on the CPU.
    """
    return [_draw_group(shapes, group, augment, f"group{index}") for index, group in enumerate(crops)]


def _draw_group(shapes: DataNode, group: CropGroup, augment: Augmentation, name: str) -> DataNode:
    """Few operators for many numbers: each costs DALI's executor as much as a crop's colours, whatever it draws."""
    windows = [_draw_window(shapes, group, f"{name}_window{crop}") for crop in range(group.num)]
    starts = fn.stack(*[start for start, _ in windows], axis=0)
    extents = fn.stack(*[extent for _, extent in windows], axis=0)
    pixels = fn.cast(fn.cat(starts, extents, axis=1), dtype=types.FLOAT)
    return fn.cat(pixels, _draw_distortions(group.num, augment, name), axis=1)


def _draw_window(shapes: DataNode, group: CropGroup, name: str) -> tuple[DataNode, DataNode]:
    """Top and left, then height and width; torchvision's RandomResizedCrop draws from the same distribution."""
    start, extent = fn.random_crop_generator(
        shapes,
        random_area=[group.min_scale, group.max_scale],
        random_aspect_ratio=[3 / 4, 4 / 3],
        num_attempts=10,
        name=name,
    )
    return start, extent


def _draw_distortions(num: int, augment: Augmentation, name: str) -> DataNode:
    """Columns FLIP to SOLARIZE, float32 (num, 10): a coin times a number from a range, both drawn for every column."""
    chance, low, span, is_whole = (types.Constant(row, device="cpu") for row in _distributions(augment))
    coins, shares = (
        fn.random.uniform(range=[0.0, 1.0], shape=[num, p.COLUMNS - p.FLIP], name=f"{name}_{what}")
        for what in ("coins", "shares")
    )
    drawn = low + span * shares
    drawn = drawn - is_whole * (drawn - math.floor(drawn))
    return fn.cast(coins < chance, dtype=types.FLOAT) * drawn


def _distributions(augment: Augmentation) -> Array:
    """For each column from FLIP: the coin's chance, the range's start and length, and whether it is cut to an integer.

    float32 (4, 10). What is always there has a chance above 1, a coin the range from 1 to 1.
    """
    rows = np.zeros((p.COLUMNS, 4))
    for column, chance in ((p.FLIP, augment.flip), (p.JITTER, augment.jitter), (p.GRAY, augment.gray)):
        rows[column] = chance, 1, 0, 0
    rows[p.SOLARIZE] = augment.solarize, 1, 0, 0
    rows[p.ORDER] = _ALWAYS, 0, len(p.ORDERS), 1
    strengths = ((p.BRIGHTNESS, augment.brightness), (p.CONTRAST, augment.contrast), (p.SATURATION, augment.saturation))
    for column, strength in strengths:
        rows[column] = _ALWAYS, 1 - strength, 2 * strength, 0
    rows[p.HUE] = _ALWAYS, -augment.hue, 2 * augment.hue, 0
    rows[p.SIGMA] = augment.blur, augment.min_sigma, augment.max_sigma - augment.min_sigma, 0
    return np.ascontiguousarray(rows[p.FLIP :].T, np.float32)


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
        crops: the same groups, at most exact_operator.MOST_GROUPS.
        augment: mean and std are read from it.
        precision: type of the output; DALI's numba operator knows no 16-bit floats, so those come as their bits
            in uint16, to be viewed as the type by the reader of the batch.

    Returns:
        One node per group, (num, size, size, 3): HWC in memory, so a permuted view is channels_last.
    """
    kind, out_type = _KINDS[precision]
    output = types.Constant(output_row(normalization(augment), kind), device="cpu")
    return crop_operator(parameters, images, output, sizes=tuple(group.size for group in crops), out_type=out_type)


def normalization(augment: Augmentation) -> Array:
    """Scale and offset per channel, float32 (2, 3): level * scale + offset is ToTensor and Normalize in one step."""
    mean, std = np.array(augment.mean), np.array(augment.std)
    return np.stack([1.0 / (255.0 * std), -mean / std]).astype(np.float32)
