"""Gaussian blur of a crop, as torchvision's `gaussian_blur` with a 23-tap kernel and reflected borders.

That kernel is what the published SwAV weights were trained with (OpenCV, 23 taps) and what DALI's GPU operator
computes; Pillow's own GaussianBlur approximates it with three box blurs and lies 0.2-0.65 levels away in the mean.
Taps beyond 3.5 sigma are left out. Both passes run over long stretches of memory, eight rows at a time, because
calls per row would cost more than their arithmetic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pipelines.compiled.cache import compiled

TAPS = 23
_REACH = 3.5
_ROWS = 8
_ROUND = np.float32(1 << 23)  # adding and taking it away rounds a small float32 to a whole number, half to even


@compiled
def blur(planes: Any, sigma: float, channels: int) -> None:
    """Blur the first `channels` of uint8 (size, 3, size) in place; `sigma` in pixels, size at least 8."""
    size = planes.shape[0]
    weights = gaussian_weights(sigma, size)
    radius = weights.size - 1
    length, pitch = channels * size, size + 2 * radius
    tall = _reflect_rows(planes, radius, length)
    down = np.empty(_ROWS * length, np.float32)
    wide = np.empty(_ROWS * channels * pitch, np.float32)
    along = np.empty(wide.size, np.float32)
    flat = planes.reshape(planes.size)
    for block in range(0, size, _ROWS):
        top = min(block, size - _ROWS)
        _convolve(tall, (top + radius) * length, length, weights, down)
        for row in range(_ROWS * channels):
            _reflect(down[row * size : (row + 1) * size], radius, wide[row * pitch : (row + 1) * pitch])
        _convolve(wide, radius, 1, weights, along[radius : along.size - radius])
        for row in range(_ROWS * channels):
            start = ((top + row // channels) * 3 + row % channels) * size
            _round(along[row * pitch + radius : row * pitch + radius + size], flat[start : start + size])


@compiled
def gaussian_weights(sigma: float, size: int) -> Any:
    """Half a normalized Gaussian kernel, centre first: float32 (radius + 1,), radius at least 1."""
    radius = min(min(max(math.ceil(_REACH * sigma), 1), TAPS // 2), size - 1)
    weights = np.empty(radius + 1, np.float64)
    total = -1.0
    for k in range(radius + 1):
        weights[k] = math.exp(-0.5 * (k / sigma) ** 2)
        total += 2.0 * weights[k]
    return (weights / total).astype(np.float32)


@compiled
def _reflect_rows(planes: Any, radius: int, length: int) -> Any:
    """The first `length` bytes of every row, end to end, with `radius` mirrored rows before and after."""
    size = planes.shape[0]
    flat = planes.reshape(planes.size)
    tall = np.empty((size + 2 * radius) * length, np.uint8)
    for row in range(size + 2 * radius):
        y = size - 1 - abs(size - 1 - abs(row - radius))
        _copy(flat[y * 3 * size : y * 3 * size + length], tall[row * length : (row + 1) * length])
    return tall


@compiled
def _reflect(row: Any, radius: int, wide: Any) -> None:
    _copy(row, wide[radius : radius + row.size])
    for k in range(1, radius + 1):
        wide[radius - k] = row[k]
        wide[radius + row.size - 1 + k] = row[row.size - 1 - k]


@compiled
def _copy(source: Any, target: Any) -> None:
    for i in range(target.size):
        target[i] = source[i]


@compiled
def _round(source: Any, target: Any) -> None:
    for i in range(target.size):
        target[i] = np.uint8(np.float32(np.float32(source[i] + _ROUND) - _ROUND))


@compiled
def _convolve(source: Any, start: int, step: int, weights: Any, out: Any) -> None:
    """Write sum over k of weights[|k|] * source[start + i + k * step] to out[i], two pairs of taps at a time."""
    count, radius = out.size, weights.size - 1
    center = source[start : start + count]
    if radius % 2:
        a, b = _pair(source, start, step, count)
        _center_and_pair(center, a, b, weights[0], weights[1], out)
    else:
        a, b = _pair(source, start, step, count)
        c, d = _pair(source, start, 2 * step, count)
        _center_and_two_pairs(center, a, b, c, d, weights[:3], out)
    for k in range(2 + (radius + 1) % 2, radius, 2):
        a, b = _pair(source, start, k * step, count)
        c, d = _pair(source, start, (k + 1) * step, count)
        _add_two_pairs(a, b, c, d, weights[k], weights[k + 1], out)


@compiled
def _pair(source: Any, start: int, distance: int, count: int) -> Any:
    before, after = start - distance, start + distance
    return source[before : before + count], source[after : after + count]


@compiled
def _center_and_pair(center: Any, a: Any, b: Any, weight: Any, pair_weight: Any, out: Any) -> None:
    for i in range(out.size):
        pair = np.float32(np.float32(np.float32(a[i]) + np.float32(b[i])) * pair_weight)
        out[i] = np.float32(np.float32(np.float32(center[i]) * weight) + pair)


@compiled
def _center_and_two_pairs(center: Any, a: Any, b: Any, c: Any, d: Any, weights: Any, out: Any) -> None:
    weight, pair_weight, second_weight = weights[0], weights[1], weights[2]
    for i in range(out.size):
        pair = np.float32(np.float32(np.float32(a[i]) + np.float32(b[i])) * pair_weight)
        second = np.float32(np.float32(np.float32(c[i]) + np.float32(d[i])) * second_weight)
        out[i] = np.float32(np.float32(np.float32(np.float32(center[i]) * weight) + pair) + second)


@compiled
def _add_two_pairs(a: Any, b: Any, c: Any, d: Any, pair_weight: Any, second_weight: Any, out: Any) -> None:
    for i in range(out.size):
        pair = np.float32(np.float32(np.float32(a[i]) + np.float32(b[i])) * pair_weight)
        second = np.float32(np.float32(np.float32(c[i]) + np.float32(d[i])) * second_weight)
        out[i] = np.float32(np.float32(out[i] + pair) + second)
