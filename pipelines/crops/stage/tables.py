"""Pillow's resize weights of every window, as pipelines.crops.kernels_resize computes them: float64, then 22 bits.

A crop has two tables, for its rows and for its columns: for each of the crop's `SIZE` pixels the first sample of
the window it takes, and one weight per tap. Weights lie tap by tap, so that neighbouring pixels read neighbouring
numbers; tables are as long as their window needs, one behind the other.
"""

from __future__ import annotations

import triton.language as tl

from pipelines.crops.stage.jit import kernel
from pipelines.crops.stage.layout import COLUMNS, HEIGHT, PLACES, TABLES

_LEAST_TAPS = tl.constexpr(2)
_ONE = tl.constexpr(4194304.0)  # 1 << kernels_resize.PRECISION


@kernel
def taps_of(length: tl.tensor, size: tl.tensor) -> tl.tensor:
    """Weights per pixel from `length` samples to `size`: none behind them differs from zero."""
    return tl.maximum((2 * length + size - 1) // size, _LEAST_TAPS)


@kernel
def _triangle(distance: tl.tensor) -> tl.tensor:
    return tl.maximum(1.0 - tl.abs(distance), 0.0)


@kernel
def fill_tables(
    rows: tl.tensor,
    places: tl.tensor,
    taken: tl.tensor,
    weights: tl.tensor,
    totals: tl.tensor,
    first: tl.tensor,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the tables of one axis of one crop for BLOCK of its pixels, and set the crop's gray sum to zero.

    Programs: (crops, 2, ceil(SIZE / BLOCK)); axis 0 is the rows'. Of the arguments, `rows` and `places` are read
    from crop `first` on, see layout; `taken` int32 (crops, 2, SIZE), `weights` int32 and `totals` int32 (crops,)
    are written from their beginning.
    """
    crop, axis = tl.program_id(0), tl.program_id(1)
    if axis + tl.program_id(2) == 0:
        tl.store(totals + crop, 0)
    length = tl.load(rows + (first + crop) * COLUMNS + HEIGHT + axis).to(tl.int32)
    table = weights + tl.load(places + (first + crop) * PLACES + TABLES + axis)
    pixel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < SIZE
    scale = length.to(tl.float64) / SIZE
    support = tl.maximum(scale, 1.0)
    inverse = 1.0 / support
    center = (tl.minimum(pixel, SIZE - 1).to(tl.float64) + 0.5) * scale
    low = tl.maximum((center - support + 0.5).to(tl.int32), 0)
    end = tl.minimum((center + support + 0.5).to(tl.int32), length)
    taps = taps_of(length, SIZE)
    total = tl.zeros([BLOCK], tl.float64)
    for k in range(taps):
        weight = _triangle(((low + k).to(tl.float64) - center + 0.5) * inverse)
        total += tl.where(low + k < end, weight, 0.0)
    for k in range(taps):
        weight = _triangle(((low + k).to(tl.float64) - center + 0.5) * inverse)
        share = tl.where(low + k < end, weight, 0.0) / total
        tl.store(table + k * SIZE + pixel, (0.5 + share * _ONE).to(tl.int32), mask=inside)
    tl.store(taken + (crop * 2 + axis) * SIZE + pixel, low, mask=inside)
