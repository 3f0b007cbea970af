"""Colour jitter and gray with torchvision's rounding, as pipelines.crops.kernels_color: cut to levels after each.

Blocks hold whole levels of 0 to 255 as float32. The contrast needs the mean of the crop's gray image, which exists
only when every program of `resize` is done: it and what comes after it are a pass of their own.
"""

from __future__ import annotations

import triton.language as tl

from pipelines.crops.stage.jit import kernel
from pipelines.crops.stage.layout import BEFORE, BRIGHTNESS, COLUMNS, GRAY, OPERATIONS, ORDER, PLACES

_RED, _GREEN, _BLUE = tl.constexpr(0.2989), tl.constexpr(0.587), tl.constexpr(0.114)
_TOP = tl.constexpr(255.0)
_TO_BYTE = tl.constexpr(255.999 / 255.0)  # torchvision turns floats into bytes by * 255.999, cut
_CONTRAST, _SATURATION, _HUE = tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)


@kernel
def luma(red: tl.tensor, green: tl.tensor, blue: tl.tensor) -> tl.tensor:
    """Gray cut to a whole level."""
    return tl.floor((red * _RED + green * _GREEN) + blue * _BLUE)


@kernel
def _blend(value: tl.tensor, factor: tl.tensor, shift: tl.tensor) -> tl.tensor:
    return tl.floor(tl.minimum(tl.maximum(value * factor + shift, 0.0), _TOP))


@kernel
def jitter(
    red: tl.tensor,
    green: tl.tensor,
    blue: tl.tensor,
    row: tl.tensor,
    order: tl.tensor,
    begin: tl.tensor,
    end: tl.tensor,
    mean: tl.tensor,
) -> tl.tensor:
    """Apply the operations `begin` to `end` of `order` with the factors of `row`; `mean` is the contrast's."""
    for slot in range(begin, end):
        operation = (order >> (2 * slot)) & 3
        factor = tl.load(row + BRIGHTNESS + operation)
        if operation == _HUE:
            red, green, blue = _turn(red, green, blue, factor)
        else:  # a blend with black, with the mean, or with the pixel's own gray
            other = tl.where(operation == _SATURATION, luma(red, green, blue), 0.0)
            other = tl.where(operation == _CONTRAST, mean, other)
            shift = (1.0 - factor) * other
            red, green, blue = _blend(red, factor, shift), _blend(green, factor, shift), _blend(blue, factor, shift)
    return red, green, blue


@kernel
def _turn(red: tl.tensor, green: tl.tensor, blue: tl.tensor, turn: tl.tensor) -> tl.tensor:
    """Turn the hue; each channel is the pixel's maximum less its chroma times a trapezoid of the turned hue."""
    most = tl.maximum(tl.maximum(red, green), blue)
    chroma = most - tl.minimum(tl.minimum(red, green), blue)
    inverse = tl.div_rn(tl.zeros_like(chroma) + 1.0, tl.maximum(chroma, 1.0))
    along = tl.where(most == red, green - blue, tl.where(most == green, blue - red, red - green))
    side = tl.where(most == red, 0.0, tl.where(most == green, 2.0, 4.0))
    angle = (side + along * inverse) + 6.0 * (turn - tl.floor(turn))
    return (
        _channel(most, chroma, angle + 5.0),
        _channel(most, chroma, angle + 3.0),
        _channel(most, chroma, angle + 1.0),
    )


@kernel
def _channel(most: tl.tensor, chroma: tl.tensor, angle: tl.tensor) -> tl.tensor:
    """The trapezoid min(k, 4 - k) within [0, 1], k = angle modulo 6; `angle` lies in [0, 16)."""
    k = tl.where(angle >= 6.0, angle - 6.0, angle)
    k = tl.where(k >= 6.0, k - 6.0, k)
    share = tl.minimum(tl.maximum(tl.minimum(k, 4.0 - k), 0.0), 1.0)
    return tl.floor((most - chroma * share) * _TO_BYTE)


@kernel
def distort(
    rows: tl.tensor,
    places: tl.tensor,
    totals: tl.tensor,
    levels: tl.tensor,
    first: tl.tensor,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The jitter from the contrast on, then the gray coin, in place, for BLOCK pixels of one crop.

    Programs: (crops, ceil(SIZE * SIZE / BLOCK)); one whose crop has no jitter returns at once. Arguments as `resize`'s.
    """
    crop = tl.program_id(0)
    row, place = rows + (first + crop) * COLUMNS, places + (first + crop) * PLACES
    operations = tl.load(place + OPERATIONS).to(tl.int32)
    if operations == 0:
        return
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < SIZE * SIZE
    at = levels + crop.to(tl.int64) * (3 * SIZE * SIZE) + pixel * 3
    red = tl.load(at, mask=inside, other=0).to(tl.float32)
    green = tl.load(at + 1, mask=inside, other=0).to(tl.float32)
    blue = tl.load(at + 2, mask=inside, other=0).to(tl.float32)
    mean = tl.div_rn(tl.load(totals + crop).to(tl.float32), SIZE * SIZE * 1.0)
    order, before = tl.load(place + ORDER).to(tl.int32), tl.load(place + BEFORE).to(tl.int32)
    red, green, blue = jitter(red, green, blue, row, order, before, operations, mean)
    if tl.load(row + GRAY) > 0:
        red = luma(red, green, blue)
        green, blue = red, red
    tl.store(at, red.to(tl.int32).to(tl.uint8), mask=inside)
    tl.store(at + 1, green.to(tl.int32).to(tl.uint8), mask=inside)
    tl.store(at + 2, blue.to(tl.int32).to(tl.uint8), mask=inside)
