"""Colour jitter and grayscale on bytes, with the arithmetic and rounding of torchvision's tensor functions.

Every operation reads and writes uint8 (size, 3, size) in place: float32 inside, clamped and cut to bytes after
each operation as torchvision does, so the order of operations matters as it does there. Brightness, contrast,
saturation and gray equal torchvision bit for bit; hue does the same HSV turn with one division instead of eight
and can differ by one level.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.compiled.cache import compiled

_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
_TOP = np.float32(255.0)
_TO_BYTE = np.float32(255.999 / 255.0)  # torchvision turns floats into bytes by * 255.999, cut


@compiled
def jitter(planes: Any, order: Any, factors: Any) -> None:
    """Apply the operations `order` (4,) = 0 brightness, 1 contrast, 2 saturation, 3 hue with their `factors` (4,)."""
    for operation in order:
        factor = factors[operation]
        if operation == 0:
            brightness(planes, factor)
        elif operation == 1:
            contrast(planes, factor)
        elif operation == 2:
            saturation(planes, factor)
        else:
            hue(planes, factor)


@compiled
def brightness(planes: Any, factor: Any) -> None:
    """Scale towards or away from black."""
    flat, factor = planes.reshape(planes.size), np.float32(factor)
    for i in range(flat.size):
        flat[i] = np.uint8(min(np.float32(np.float32(flat[i]) * factor), _TOP))


@compiled
def contrast(planes: Any, factor: Any) -> None:
    """Blend with the mean of the crop's own gray image."""
    total = np.int64(0)
    for y in range(planes.shape[0]):
        total += _gray_sum(planes[y, 0], planes[y, 1], planes[y, 2])
    mean = np.float32(np.float32(total) / np.float32(planes.shape[0] * planes.shape[2]))
    shift = np.float32(np.float32(1.0 - np.float64(factor)) * mean)
    flat, factor = planes.reshape(planes.size), np.float32(factor)
    for i in range(flat.size):
        value = np.float32(np.float32(np.float32(flat[i]) * factor) + shift)
        flat[i] = np.uint8(min(max(value, np.float32(0.0)), _TOP))


@compiled
def _gray_sum(red: Any, green: Any, blue: Any) -> Any:
    total = np.int32(0)
    for x in range(red.size):
        total = np.int32(total + np.int32(_gray(red[x], green[x], blue[x])))
    return np.int64(total)


@compiled
def _gray(red: int, green: int, blue: int) -> Any:
    """Luma cut to a whole level."""
    sum_two = np.float32(np.float32(_RED * np.float32(red)) + np.float32(_GREEN * np.float32(green)))
    return np.uint8(np.float32(sum_two + np.float32(_BLUE * np.float32(blue))))


@compiled
def saturation(planes: Any, factor: Any) -> None:
    """Blend each pixel with its own gray."""
    rest, factor = np.float32(1.0 - np.float64(factor)), np.float32(factor)
    for y in range(planes.shape[0]):
        _saturate(planes[y, 0], planes[y, 1], planes[y, 2], factor, rest)


@compiled
def _saturate(red: Any, green: Any, blue: Any, factor: Any, rest: Any) -> None:
    for x in range(red.size):
        gray = np.float32(rest * np.float32(_gray(red[x], green[x], blue[x])))
        red[x] = _blend(red[x], factor, gray)
        green[x] = _blend(green[x], factor, gray)
        blue[x] = _blend(blue[x], factor, gray)


@compiled
def _blend(value: int, factor: Any, shift: Any) -> Any:
    blended = np.float32(np.float32(np.float32(value) * factor) + shift)
    return np.uint8(min(max(blended, np.float32(0.0)), _TOP))


@compiled
def hue(planes: Any, turn: Any) -> None:
    """Turn the hue of every pixel by `turn` of a full circle, value and saturation kept."""
    sixths = np.float32(6.0 * (turn - np.floor(turn)))
    for y in range(planes.shape[0]):
        _turn(planes[y, 0], planes[y, 1], planes[y, 2], sixths)


@compiled
def _turn(red: Any, green: Any, blue: Any, sixths: Any) -> None:
    """Each channel is the pixel's maximum less its chroma times a trapezoid of the turned hue."""
    for x in range(red.size):
        r, g, b = np.int32(red[x]), np.int32(green[x]), np.int32(blue[x])
        most, least = max(r, g, b), min(r, g, b)
        chroma = np.int32(most - least)
        inverse = np.float32(np.float32(1.0) / np.float32(max(chroma, np.int32(1))))
        # position of the hue on the circle, in sixths, from [-1, 5)
        along = np.int32(r - g) if most != g else np.int32(b - r)
        side = np.float32(4.0) if most != g else np.float32(2.0)
        along = np.int32(g - b) if most == r else along
        side = np.float32(0.0) if most == r else side
        angle = np.float32(np.float32(side + np.float32(np.float32(along) * inverse)) + sixths)
        red[x] = _channel(most, chroma, np.float32(angle + np.float32(5.0)))
        green[x] = _channel(most, chroma, np.float32(angle + np.float32(3.0)))
        blue[x] = _channel(most, chroma, np.float32(angle + np.float32(1.0)))


@compiled
def _channel(most: Any, chroma: Any, angle: Any) -> Any:
    """The trapezoid min(k, 4 - k) within [0, 1], k = angle modulo 6; `angle` lies in [0, 16)."""
    k = angle
    k = np.float32(k - np.float32(6.0)) if k >= np.float32(6.0) else k
    k = np.float32(k - np.float32(6.0)) if k >= np.float32(6.0) else k
    share = min(max(min(k, np.float32(np.float32(4.0) - k)), np.float32(0.0)), np.float32(1.0))
    value = np.float32(np.float32(most) - np.float32(np.float32(chroma) * share))
    return np.uint8(np.float32(value * _TO_BYTE))


@compiled
def grayscale(planes: Any) -> None:
    """Three equal channels of luma."""
    for y in range(planes.shape[0]):
        _fill_gray(planes[y, 0], planes[y, 1], planes[y, 2])


@compiled
def _fill_gray(red: Any, green: Any, blue: Any) -> None:
    for x in range(red.size):
        gray = _gray(red[x], green[x], blue[x])
        red[x] = gray
        green[x] = gray
        blue[x] = gray


@compiled
def solarize(planes: Any) -> None:
    """Invert the levels from 128 up."""
    flat = planes.reshape(planes.size)
    for i in range(flat.size):
        flat[i] = min(flat[i], np.uint8(255 - flat[i]))
