"""The exact crops in DALI's own operators, for the GPU: same parameters and arithmetic as the compiled kernels.

All crops of a group are one tensor, so each step is a few element-wise operators on (num, size, size, 3) whatever
the number of crops, and no branch is taken: an operation that a crop skips gets the factor that changes nothing.
Brightness, contrast and saturation are one blend with different partners; three blends before the hue turn and
three after it hold every order of the four operations. Runs on the CPU as well, slowly, which is how it is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
_NOTHING = 3
_SLOTS = 6
_TO_BYTE = 255.999 / 255.0
_NO_BLUR = 0.05  # a kernel of this sigma has one tap that counts


def arithmetic_crops(
    images: DataNode,
    parameters: Sequence[DataNode],
    *,
    crops: Sequence[CropGroup],
    augment: Augmentation,
    half: bool = False,
) -> list[DataNode]:
    """Cut, distort and normalize all crops of every image on the device where `images` lie.

    Args:
        images: uint8 (height, width, 3), layout HWC.
        parameters: one CPU node per group, as drawn by `exact.draw_parameters`.
        crops: the same groups.
        augment: mean and std are read from it.
        half: float16 output instead of float32.

    Returns:
        One node per group, (num, size, size, 3).
    """
    # DALI's conversion of conditionals, through which a graph function passes, knows no zip(strict=True)
    return [_group(images, parameters[index], crops[index], augment, half) for index in range(len(crops))]


def _group(images: DataNode, rows: DataNode, group: CropGroup, augment: Augmentation, half: bool) -> DataNode:
    on_gpu = images.device == "gpu"
    windows = [_resized(images, rows[crop], group.size) for crop in range(group.num)]
    levels = fn.cast(fn.stack(*windows, axis_name="F"), dtype=types.FLOAT)
    blends = _blends(rows)
    blends = blends.gpu() if on_gpu else blends
    for slot in range(_SLOTS):
        if slot == _SLOTS // 2:
            levels = _turn_hue(levels, _per_crop(rows[:, p.JITTER] * rows[:, p.HUE], on_gpu))
        weights = [fn.reshape(blends[:, slot, weight], shape=[-1, 1, 1, 1]) for weight in range(3)]
        levels = _blend(levels, *weights)
    drop = _per_crop(rows[:, p.GRAY], on_gpu)
    levels = levels * (1.0 - drop) + _gray(levels) * drop
    return _finish(levels, rows, augment, half)


def _resized(images: DataNode, row: DataNode, size: int) -> DataNode:
    window = fn.cast(row, dtype=types.INT32)
    cut = fn.slice(images, start=window[p.TOP : p.LEFT + 1], shape=window[p.HEIGHT : p.WIDTH + 1], axes=[0, 1])
    resized = fn.resize(cut, size=[size, size], interp_type=types.INTERP_LINEAR, antialias=True)
    return fn.flip(resized, horizontal=window[p.FLIP])


def _per_crop(values: DataNode, on_gpu: bool) -> DataNode:
    """(num,) as (num, 1, 1, 1) on the pictures' device."""
    column = fn.reshape(values, shape=[-1, 1, 1, 1])
    return column.gpu() if on_gpu else column


def _blends(rows: DataNode) -> DataNode:
    """The six blends of every crop, (num, 6, 3): factor, weight of the pixel's own gray, weight of the mean gray."""
    order = fn.cast(rows[:, p.ORDER], dtype=types.UINT8)
    keys = list(range(24))
    looked_up = [fn.lookup_table(order, keys=keys, values=codes, dtype=types.FLOAT) for codes in _SLOT_CODES]
    codes = fn.stack(*looked_up, axis=1)
    jitter = rows[:, p.JITTER : p.JITTER + 1]
    active = [jitter * fn.cast(codes == float(operation), dtype=types.FLOAT) for operation in range(3)]
    factor = 1.0 - active[0] - active[1] - active[2]
    for operation in range(3):
        column = p.BRIGHTNESS + operation
        factor = factor + active[operation] * rows[:, column : column + 1]
    rest = 1.0 - factor
    return fn.stack(factor, active[_SATURATION] * rest, active[_CONTRAST] * rest, axis=2)


def _codes() -> list[list[float]]:
    """For each of the six blends, the operation it does in each of the 24 orders, or _NOTHING."""
    slots: list[list[float]] = [[] for _ in range(_SLOTS)]
    for order in permutations(range(4)):
        before, after = order[: order.index(_HUE)], order[order.index(_HUE) + 1 :]
        padded = [*before, *[_NOTHING] * (3 - len(before)), *after, *[_NOTHING] * (3 - len(after))]
        for slot, operation in zip(slots, padded, strict=True):
            slot.append(float(operation))
    return slots


_SLOT_CODES = _codes()


def _gray(levels: DataNode) -> DataNode:
    """Luma cut to whole levels, (num, size, size, 1)."""
    red, green, blue = levels[:, :, :, 0:1], levels[:, :, :, 1:2], levels[:, :, :, 2:3]
    return math.floor(red * 0.2989 + green * 0.587 + blue * 0.114)


def _blend(levels: DataNode, factor: DataNode, rest_gray: DataNode, rest_mean: DataNode) -> DataNode:
    gray = _gray(levels)
    mean = fn.reductions.mean(gray, axes=[1, 2, 3], keep_dims=True)
    return math.floor(math.clamp(levels * factor + (gray * rest_gray + mean * rest_mean), 0.0, 255.0))


def _turn_hue(levels: DataNode, turn: DataNode) -> DataNode:
    """Each channel is the pixel's maximum less its chroma times a trapezoid of the turned hue."""
    red, green, blue = levels[:, :, :, 0:1], levels[:, :, :, 1:2], levels[:, :, :, 2:3]
    most = math.max(red, math.max(green, blue))
    chroma = most - math.min(red, math.min(green, blue))
    is_red = fn.cast(most == red, dtype=types.FLOAT)
    is_green = fn.cast(most == green, dtype=types.FLOAT) * (1.0 - is_red)
    is_blue = 1.0 - is_red - is_green
    along = is_red * (green - blue) + is_green * (blue - red) + is_blue * (red - green)
    angle = along / math.max(chroma, 1.0) + (is_green * 2.0 + is_blue * 4.0) + turn * 6.0
    channels = [most - chroma * _trapezoid(angle + start) for start in (5.0, 3.0, 1.0)]
    return math.floor(fn.cat(*channels, axis=3) * _TO_BYTE)


def _trapezoid(angle: DataNode) -> DataNode:
    """The share min(k, 4 - k) within [0, 1], k = angle modulo 6."""
    k = angle - math.floor(angle / 6.0) * 6.0
    return math.clamp(math.min(k, 4.0 - k), 0.0, 1.0)


def _finish(levels: DataNode, rows: DataNode, augment: Augmentation, half: bool) -> DataNode:
    """Blur, solarize, normalize: the blur rounds to levels as torchvision's does on bytes."""
    pictures = fn.reshape(fn.cast(levels, dtype=types.UINT8), layout="FHWC")
    pictures = fn.gaussian_blur(pictures, sigma=fn.per_frame(math.max(rows[:, p.SIGMA], _NO_BLUR)))
    if augment.solarize > 0:
        pictures = _solarize(pictures, _per_crop(rows[:, p.SOLARIZE], pictures.device == "gpu"))
    return fn.crop_mirror_normalize(
        pictures,
        dtype=types.FLOAT16 if half else types.FLOAT,
        output_layout="FHWC",
        mean=[255.0 * value for value in augment.mean],
        std=[255.0 * value for value in augment.std],
    )


def _solarize(pictures: DataNode, coins: DataNode) -> DataNode:
    levels = fn.cast(pictures, dtype=types.FLOAT)
    inverted = math.min(levels, 255.0 - levels)  # equal below 128
    return fn.reshape(levels + coins * (inverted - levels), layout="FHWC")
