"""Crops by `dali`: its stock operators, on either device, from the parameters of the exact crops.

Differences from torchvision, which `python -m pipelines show` measures: the four jitter operations are one affine map
in a fixed order without clamping between them, contrast turns about 128, hue turns in YIQ instead of HSV, and the
resize filter reads a few pixels outside the crop's window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p


def fast_crops(
    images: DataNode,
    parameters: Sequence[DataNode],
    *,
    crops: Sequence[CropGroup],
    augment: Augmentation,
    device: Literal["cpu", "gpu"],
    half: bool = False,
) -> list[DataNode]:
    """Cut, distort and normalize all crops of every image; must be called from a graph with conditionals.

    Args:
        images: uint8 (height, width, 3) on `device`.
        parameters: one node per group, float32 (num, COLUMNS) on the CPU.
        crops: the same groups.
        augment: mean and std are read from it.
        device: where the work is done.
        half: float16 output instead of float32.

    Returns:
        One node per group, (num, size, size, 3).
    """
    outputs = []
    for index in range(len(crops)):  # DALI's conversion of conditionals knows no zip(strict=True)
        rows, size = parameters[index], crops[index].size
        made = [_crop(images, rows[crop], size, augment, device, half) for crop in range(crops[index].num)]
        outputs.append(fn.stack(*made, axis=0))
    return outputs


def _crop(images: DataNode, row: DataNode, size: int, augment: Augmentation, device: str, half: bool) -> DataNode:
    start = fn.stack(row[p.TOP], row[p.LEFT])
    extent = fn.stack(row[p.HEIGHT], row[p.WIDTH])
    crop = fn.resize(
        images,
        roi_start=start,
        roi_end=start + extent,
        size=[size, size],
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )
    crop = _jitter(crop, row)
    if row[p.SIGMA] > 0:
        crop = fn.gaussian_blur(crop, sigma=row[p.SIGMA])
    if augment.solarize > 0:
        crop = _solarize(crop, row[p.SOLARIZE])
    return fn.crop_mirror_normalize(
        crop,
        mirror=fn.cast(row[p.FLIP], dtype=types.INT32),
        dtype=types.FLOAT16 if half else types.FLOAT,
        output_layout="HWC",
        mean=[255 * mean for mean in augment.mean],
        std=[255 * std for std in augment.std],
        device=device,
    )


def _jitter(crop: DataNode, row: DataNode) -> DataNode:
    """Colour jitter and gray as one operator with neutral factors where their coins say no."""
    coin, keep_colour = row[p.JITTER], 1 - row[p.GRAY]
    return fn.color_twist(
        crop,
        brightness=coin * row[p.BRIGHTNESS] + (1 - coin),
        contrast=coin * row[p.CONTRAST] + (1 - coin),
        saturation=(coin * row[p.SATURATION] + (1 - coin)) * keep_colour,
        hue=coin * row[p.HUE] * 360,  # degrees
    )


def _solarize(crop: DataNode, coin: DataNode) -> DataNode:
    if coin > 0:
        crop = fn.reshape(math.min(crop, fn.cast(255 - crop, dtype=types.UINT8)), layout="HWC")
    return crop
