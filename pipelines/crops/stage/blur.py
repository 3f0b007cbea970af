"""Last two passes: the Gaussian blur's two directions, and behind them solarization, normalization and the output.

As pipelines.crops.kernels_blur and kernels_finish: float32 between the directions, rounded half to even behind the
second. Rows of a crop are taken as 3 * SIZE bytes, so that neighbouring lanes read and write neighbouring numbers.
"""

from __future__ import annotations

import triton.language as tl

from pipelines.crops.stage.jit import kernel
from pipelines.crops.stage.layout import COLUMNS, PLACES, RADIUS, REACH, SOLARIZE

_ROUND = tl.constexpr(8388608.0)  # adding and taking it away rounds a small float32 to a whole number, half to even


@kernel
def _before(index: tl.tensor, distance: tl.tensor) -> tl.tensor:
    """The index `distance` before, mirrored at the first, which is not doubled; a radius is less than SIZE."""
    return tl.abs(index - distance)


@kernel
def _behind(index: tl.tensor, distance: tl.tensor, SIZE: tl.constexpr) -> tl.tensor:
    """The index `distance` behind, mirrored at the last."""
    return SIZE - 1 - tl.abs(SIZE - 1 - index - distance)


@kernel
def blur_down(
    levels: tl.tensor,
    places: tl.tensor,
    gauss: tl.tensor,
    tall: tl.tensor,
    first: tl.tensor,
    SIZE: tl.constexpr,
    HIGH: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Blur HIGH x WIDE bytes of one crop from top to bottom.

    Programs: (crops, tiles); one whose crop is not blurred returns at once. `levels` uint8 (crops, SIZE, SIZE, 3)
    is read and `tall` float32 of the same shape written; `places` and `gauss` float32 (all crops, REACH) are read
    from crop `first` on.
    """
    crop = tl.program_id(0)
    radius = tl.load(places + (first + crop) * PLACES + RADIUS).to(tl.int32)
    if radius == 0:
        return
    across = (3 * SIZE + WIDE - 1) // WIDE
    y = tl.program_id(1) // across * HIGH + tl.arange(0, HIGH)[:, None]
    byte = tl.program_id(1) % across * WIDE + tl.arange(0, WIDE)[None, :]
    inside = (y < SIZE) & (byte < 3 * SIZE)
    base, weights = crop.to(tl.int64) * (3 * SIZE * SIZE), gauss + (first + crop) * REACH
    column, line = levels + base + byte, tl.minimum(y, SIZE - 1)
    total = tl.load(column + line * (3 * SIZE), mask=inside, other=0).to(tl.float32) * tl.load(weights)
    for k in range(1, radius + 1):
        above = tl.load(column + _before(line, k) * (3 * SIZE), mask=inside, other=0).to(tl.int32)
        below = tl.load(column + _behind(line, k, SIZE) * (3 * SIZE), mask=inside, other=0).to(tl.int32)
        total += (above + below).to(tl.float32) * tl.load(weights + k)
    tl.store(tall + base + y * (3 * SIZE) + byte, total, mask=inside)


@kernel
def finish(
    levels: tl.tensor,
    tall: tl.tensor,
    rows: tl.tensor,
    places: tl.tensor,
    gauss: tl.tensor,
    affine: tl.tensor,
    out: tl.tensor,
    first: tl.tensor,
    SIZE: tl.constexpr,
    HIGH: tl.constexpr,
    WIDE: tl.constexpr,
    AS_BITS: tl.constexpr,
) -> None:
    """Blur from left to right where there is a blur, solarize, normalize and write HIGH x WIDE numbers of one crop.

    Programs: (crops, tiles). `affine` float32 (2, 3) is scale and offset per channel; `out` (all crops, SIZE, SIZE, 3)
    is written from crop `first` on: float32, float16, or, where AS_BITS, int16 that holds the bits of bfloat16,
    rounded here because Triton's interpreter cuts where a GPU rounds. The other arguments are `blur_down`'s.
    """
    crop = tl.program_id(0)
    across = (3 * SIZE + WIDE - 1) // WIDE
    y = tl.program_id(1) // across * HIGH + tl.arange(0, HIGH)[:, None]
    byte = tl.program_id(1) % across * WIDE + tl.arange(0, WIDE)[None, :]
    inside = (y < SIZE) & (byte < 3 * SIZE)
    base, weights = crop.to(tl.int64) * (3 * SIZE * SIZE), gauss + (first + crop) * REACH
    line = base + tl.minimum(y, SIZE - 1) * (3 * SIZE)
    x, channel = tl.minimum(byte, 3 * SIZE - 1) // 3, byte % 3
    radius = tl.load(places + (first + crop) * PLACES + RADIUS).to(tl.int32)
    if radius > 0:
        value = tl.load(tall + line + x * 3 + channel) * tl.load(weights)
        for k in range(1, radius + 1):
            left = tl.load(tall + line + _before(x, k) * 3 + channel)
            right = tl.load(tall + line + _behind(x, k, SIZE) * 3 + channel)
            value += (left + right) * tl.load(weights + k)
        value = (value + _ROUND) - _ROUND
    else:
        value = tl.load(levels + line + x * 3 + channel).to(tl.float32)
    solarized = tl.load(rows + (first + crop) * COLUMNS + SOLARIZE) > 0
    value = tl.where(solarized, tl.minimum(value, 255.0 - value), value)
    value = value * tl.load(affine + channel) + tl.load(affine + 3 + channel)
    at = out + (first + crop).to(tl.int64) * (3 * SIZE * SIZE) + y * (3 * SIZE) + byte
    if AS_BITS:
        bits = value.to(tl.int32, bitcast=True)
        bits = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16
        tl.store(at, bits.to(tl.int16), mask=inside)
    else:
        tl.store(at, value, mask=inside)
