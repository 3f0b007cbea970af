"""First pass over the pixels: window to crop, and every colour operation that needs no other pixel of the crop.

Pillow rounds to bytes between its two passes. Both run here in one program: for each tap of the outer pass the
inner one is summed and rounded, so nothing of a window's height by the crop's width is ever stored.
"""

from __future__ import annotations

import triton.language as tl

from pipelines.crops.stage.color import jitter, luma
from pipelines.crops.stage.jit import kernel
from pipelines.crops.stage.layout import (
    BEFORE,
    COLUMNS,
    FLIP,
    GRAY,
    HEIGHT,
    OPERATIONS,
    ORDER,
    PITCH,
    PLACES,
    START,
    TABLES,
    WIDTH,
)
from pipelines.crops.stage.tables import taps_of

_BITS = tl.constexpr(22)  # kernels_resize.PRECISION
_HALF = tl.constexpr(1 << 21)


@kernel
def _weigh_twice(
    window: tl.tensor,
    outer: tl.tensor,
    outer_weights: tl.tensor,
    outer_length: tl.tensor,
    outer_step: tl.tensor,
    inner: tl.tensor,
    inner_weights: tl.tensor,
    inner_length: tl.tensor,
    inner_step: tl.tensor,
    SIZE: tl.constexpr,
) -> tl.tensor:
    """Red, green and blue as int32 blocks: the inner pass rounded to bytes, then the outer.

    `outer` and `inner` are the first samples, one a column and the other a row of the block. Taps behind a window's
    end weigh nothing: they read its last sample.
    """
    red = tl.zeros_like(outer + inner) + _HALF
    green, blue = red, red
    inner_taps = taps_of(inner_length, SIZE)
    for k in range(taps_of(outer_length, SIZE)):
        line = window + tl.minimum(outer + k, outer_length - 1) * outer_step
        r = tl.zeros_like(red) + _HALF
        g, b = r, r
        for j in range(inner_taps):
            weight = tl.load(inner_weights + j * SIZE)
            sample = line + tl.minimum(inner + j, inner_length - 1) * inner_step
            r += tl.load(sample).to(tl.int32) * weight
            g += tl.load(sample + 1).to(tl.int32) * weight
            b += tl.load(sample + 2).to(tl.int32) * weight
        weight = tl.load(outer_weights + k * SIZE)
        red += (r >> _BITS) * weight
        green += (g >> _BITS) * weight
        blue += (b >> _BITS) * weight
    return red >> _BITS, green >> _BITS, blue >> _BITS


@kernel
def resize(
    pixels: tl.tensor,
    rows: tl.tensor,
    places: tl.tensor,
    taken: tl.tensor,
    weights: tl.tensor,
    totals: tl.tensor,
    levels: tl.tensor,
    first: tl.tensor,
    SIZE: tl.constexpr,
    HIGH: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Write HIGH x WIDE pixels of one crop as bytes and add their luma to the crop's gray sum.

    Programs: (crops, tiles). The jitter's operations up to the contrast are done, or, where there is no jitter,
    the gray coin. `pixels` uint8 holds the batch's pictures; `rows` and `places` are read from crop `first` on;
    `taken`, `weights` and `totals` are the chunk's, see tables; `levels` uint8 (crops, SIZE, SIZE, 3) is written.
    """
    crop = tl.program_id(0)
    row, place = rows + (first + crop) * COLUMNS, places + (first + crop) * PLACES
    across = (SIZE + WIDE - 1) // WIDE
    y = tl.program_id(1) // across * HIGH + tl.arange(0, HIGH)[:, None]
    x = tl.program_id(1) % across * WIDE + tl.arange(0, WIDE)[None, :]
    inside = (y < SIZE) & (x < SIZE)
    line = tl.minimum(y, SIZE - 1)
    column = tl.minimum(x, SIZE - 1)
    column = tl.where(tl.load(row + FLIP) > 0, SIZE - 1 - column, column)
    height, width = tl.load(row + HEIGHT).to(tl.int32), tl.load(row + WIDTH).to(tl.int32)
    window, pitch = pixels + tl.load(place + START), tl.load(place + PITCH).to(tl.int32)
    top, left = tl.load(taken + crop * 2 * SIZE + line), tl.load(taken + (crop * 2 + 1) * SIZE + column)
    down, along = weights + tl.load(place + TABLES) + line, weights + tl.load(place + TABLES + 1) + column
    if height > SIZE and height - SIZE > 2 * (width - SIZE):
        r, g, b = _weigh_twice(window, left, along, width, 3, top, down, height, pitch, SIZE)
    else:
        r, g, b = _weigh_twice(window, top, down, height, pitch, left, along, width, 3, SIZE)
    red, green, blue = r.to(tl.float32), g.to(tl.float32), b.to(tl.float32)
    operations = tl.load(place + OPERATIONS).to(tl.int32)
    if operations > 0:
        order, before = tl.load(place + ORDER).to(tl.int32), tl.load(place + BEFORE).to(tl.int32)
        red, green, blue = jitter(red, green, blue, row, order, 0, before, 0.0)
        gray = tl.where(inside, luma(red, green, blue), 0.0).to(tl.int32)
        tl.atomic_add(totals + crop, tl.sum(gray))
    elif tl.load(row + GRAY) > 0:
        red = luma(red, green, blue)
        green, blue = red, red
    at = levels + crop.to(tl.int64) * (3 * SIZE * SIZE) + (y * SIZE + x) * 3
    tl.store(at, red.to(tl.int32).to(tl.uint8), mask=inside)
    tl.store(at + 1, green.to(tl.int32).to(tl.uint8), mask=inside)
    tl.store(at + 2, blue.to(tl.int32).to(tl.uint8), mask=inside)
