"""Crop and resize, bit for bit as Pillow: antialiased bilinear, nothing read outside the window.

Pillow weighs with 22-bit integers, columns first, rounds to bytes, then weighs rows; since version 13 rows
first where the height shrinks by more than twice what the width does. The same sums are taken here with both
passes running along contiguous memory, which for columns takes two transposes. The triangle's weights are
never negative, so sums cannot leave a byte and Pillow's clipping has nothing to do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipelines.compiled.cache import compiled

PRECISION = 22
_HALF = np.int32(1 << (PRECISION - 1))
_SHIFT = np.int32(PRECISION)
_BLOCK = 32  # row lengths are padded to whole vectors
TILE = 16


@compiled
def resize_window(image: Any, top: int, left: int, height: int, width: int, size: int, flip: bool) -> Any:
    """Resize one window of a uint8 image (height, width, 3) to a square, mirrored where `flip`.

    Returns uint8 (size, 3, size): each row its red, green and blue bytes.
    """
    pitch = 3 * image.shape[1]
    pixels, start = image.reshape(image.size), top * pitch + 3 * left
    if height > size and height - size > 2 * (width - size):
        shorter = _weigh_rows(pixels, start, pitch, height, 3 * width, size)
        planes = _weigh_columns(shorter, 0, 3 * width, size, width, size, flip)
    else:
        planes = _weigh_columns(pixels, start, pitch, height, width, size, flip)
        planes = _weigh_rows(planes, 0, 3 * size, height, 3 * size, size)
    return planes[: 3 * size * size].reshape(size, 3, size)


@compiled
def _weigh_rows(source: Any, start: int, pitch: int, height: int, length: int, size: int) -> Any:
    """Rows of `length` bytes, `pitch` apart from byte `start` on: `height` of them become `size`, end to end."""
    out, total = np.empty(size * length, np.uint8), np.empty(length, np.int32)
    first, counts, weights = triangle_weights(height, size)
    for y in range(size):
        row = out[y * length : (y + 1) * length]
        _weigh(row, source, start + first[y] * pitch, pitch, weights[y], counts[y], total)
    return out


@compiled
def _weigh_columns(source: Any, start: int, pitch: int, height: int, width: int, size: int, flip: bool) -> Any:
    """Packed rows of `width` pixels become planar rows of `size` pixels, end to end, and some padding."""
    padded = (height + _BLOCK - 1) // _BLOCK * _BLOCK
    columns = np.empty(3 * width * padded, np.uint8)
    transpose(source, start, pitch, height, 3 * width, columns, padded)
    pixel = 3 * padded  # bytes of one column of pixels: its red, green and blue
    narrow, total = np.empty(size * pixel, np.uint8), np.empty(pixel, np.int32)
    first, counts, weights = triangle_weights(width, size)
    for x in range(size):
        target = size - 1 - x if flip else x
        column = narrow[target * pixel : (target + 1) * pixel]
        _weigh(column, columns, first[x] * pixel, pixel, weights[x], counts[x], total)
    out = np.empty(padded * 3 * size, np.uint8)
    for channel in range(3):
        transpose(narrow, channel * padded, pixel, size, padded, out[channel * size :], 3 * size)
    return out


@compiled
def triangle_weights(length: int, size: int) -> Any:
    """Pillow's bilinear weights from `length` samples to `size`.

    Returns first sample (size,) int64, number of samples (size,) int64 and 22-bit weights (size, most) int32.
    """
    scale = length / size
    support = max(scale, 1.0)
    first, counts = np.empty(size, np.int64), np.empty(size, np.int64)
    weights = np.zeros((size, 2 * math.ceil(support) + 4), np.int32)  # zeros behind the last, for sums by four
    for i in range(size):
        center = (i + 0.5) * scale
        low = max(int(center - support + 0.5), 0)
        count = min(int(center + support + 0.5), length) - low
        total = 0.0
        for k in range(count):
            total += _triangle((k + low - center + 0.5) * (1.0 / support))
        for k in range(count):
            share = _triangle((k + low - center + 0.5) * (1.0 / support)) / total
            weights[i, k] = int(0.5 + share * (1 << PRECISION))
        first[i], counts[i] = low, count
    return first, counts, weights


@compiled
def _triangle(distance: float) -> float:
    return max(1.0 - abs(distance), 0.0)


@compiled
def _weigh(out: Any, source: Any, start: int, step: int, weights: Any, count: int, total: Any) -> None:
    """Write the weighted mean of `count` rows of bytes that begin at `start`, `start + step`, ..."""
    length = out.size
    a = source[start : start + length]
    b = source[start + step : start + step + length] if count > 1 else a
    if count <= 2:
        _weigh_two(out, a, b, weights[0], weights[1])
        return
    c = source[start + 2 * step : start + 2 * step + length]
    if count == 3:
        _weigh_three(out, a, b, c, weights[0], weights[1], weights[2])
        return
    d = source[start + 3 * step : start + 3 * step + length]
    if count == 4:
        _weigh_four(out, a, b, c, d, weights)
    else:
        _weigh_many(out, source, start, step, weights, count, total)


@compiled
def _weigh_two(out: Any, a: Any, b: Any, weight_a: Any, weight_b: Any) -> None:
    for i in range(out.size):
        sum_two = np.int32(np.int32(np.int32(a[i]) * weight_a) + np.int32(np.int32(b[i]) * weight_b))
        out[i] = np.uint8(np.int32(sum_two + _HALF) >> _SHIFT)


@compiled
def _weigh_three(out: Any, a: Any, b: Any, c: Any, weight_a: Any, weight_b: Any, weight_c: Any) -> None:
    for i in range(out.size):
        sum_two = np.int32(np.int32(np.int32(a[i]) * weight_a) + np.int32(np.int32(b[i]) * weight_b))
        sum_three = np.int32(sum_two + np.int32(np.int32(c[i]) * weight_c))
        out[i] = np.uint8(np.int32(sum_three + _HALF) >> _SHIFT)


@compiled
def _weigh_four(out: Any, a: Any, b: Any, c: Any, d: Any, weights: Any) -> None:
    weight_a, weight_b, weight_c, weight_d = weights[0], weights[1], weights[2], weights[3]
    for i in range(out.size):
        sum_two = np.int32(np.int32(np.int32(a[i]) * weight_a) + np.int32(np.int32(b[i]) * weight_b))
        sum_more = np.int32(np.int32(np.int32(c[i]) * weight_c) + np.int32(np.int32(d[i]) * weight_d))
        out[i] = np.uint8(np.int32(np.int32(sum_two + sum_more) + _HALF) >> _SHIFT)


@compiled
def _weigh_many(out: Any, source: Any, start: int, step: int, weights: Any, count: int, total: Any) -> None:
    length = out.size
    for i in range(length):
        total[i] = _HALF
    for k in range(0, count, 4):
        at = start + k * step
        a = source[at : at + length]  # stands in, with weight 0, for rows behind the last
        b = source[at + step : at + step + length] if k + 1 < count else a
        c = source[at + 2 * step : at + 2 * step + length] if k + 2 < count else a
        d = source[at + 3 * step : at + 3 * step + length] if k + 3 < count else a
        _add_four(total[:length], a, b, c, d, weights[k : k + 4])
    for i in range(length):
        out[i] = np.uint8(total[i] >> _SHIFT)


@compiled
def _add_four(total: Any, a: Any, b: Any, c: Any, d: Any, weights: Any) -> None:
    weight_a, weight_b, weight_c, weight_d = weights[0], weights[1], weights[2], weights[3]
    for i in range(total.size):
        sum_two = np.int32(np.int32(np.int32(a[i]) * weight_a) + np.int32(np.int32(b[i]) * weight_b))
        sum_more = np.int32(np.int32(np.int32(c[i]) * weight_c) + np.int32(np.int32(d[i]) * weight_d))
        total[i] = np.int32(total[i] + np.int32(sum_two + sum_more))


def _interleave(start: int) -> Any:
    lanes = [lane for i in range(start, start + TILE // 2) for lane in (i, TILE + i)]
    return ir.Constant(ir.VectorType(ir.IntType(32), TILE), lanes)


def _emit_transpose(typing_context: Any, source: Any, source_stride: Any, target: Any, target_stride: Any) -> Any:
    """Transpose 16x16 bytes; addresses and strides in bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_stride, target, target_stride = arguments
        vector = ir.VectorType(ir.IntType(8), TILE)

        def row(start: Any, stride: Any, index: int) -> Any:
            address = builder.add(start, builder.mul(stride, ir.Constant(stride.type, index)))
            return builder.inttoptr(address, vector.as_pointer())

        rows = [builder.load(row(source, source_stride, i), align=1) for i in range(TILE)]
        masks = [_interleave(0), _interleave(TILE // 2)]
        for _ in range(4):
            rows = [builder.shuffle_vector(rows[i], rows[i + 8], mask) for i in range(8) for mask in masks]
        for i in range(TILE):
            builder.store(rows[i], row(target, target_stride, i), align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), generate


_transpose_tile: Any = intrinsic(_emit_transpose)


@compiled
def transpose(source: Any, start: int, pitch: int, rows: int, columns: int, target: Any, target_pitch: int) -> None:
    """Transpose a byte matrix (rows, columns) at `source[start]`, rows `pitch` apart, to the start of `target`.

    Both arrays are uint8 (n,); row c of the target begins at byte c * target_pitch.
    """
    if rows < TILE or columns < TILE:
        for row in range(rows):
            for column in range(columns):
                target[column * target_pitch + row] = source[start + row * pitch + column]
        return
    origin = source.ctypes.data + start
    for row_tile in range(0, rows, TILE):
        row = min(row_tile, rows - TILE)  # the last tile overlaps its neighbour instead of leaving the matrix
        for column_tile in range(0, columns, TILE):
            column = min(column_tile, columns - TILE)
            tile = target.ctypes.data + column * target_pitch + row
            _transpose_tile(origin + row * pitch + column, pitch, tile, target_pitch)
