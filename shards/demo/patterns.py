"""The twelve patterns that are the demo's classes, as signed distances.

Every function takes coordinates in cells, (height, width) float32, in which one cell is one period of the pattern, and
returns the distance to the pattern's edge in cells, positive inside. Distances are exact enough to draw soft edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Pattern = Callable[[Field, Field], Field]

_STAR_POINTS = 5
_ROOT3 = np.float32(np.sqrt(3.0))
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)


def stripes(u: Field, v: Field) -> Field:
    """Straight bands."""
    return np.float32(0.25) - np.abs(_centred(u))


def waves(u: Field, v: Field) -> Field:
    """Bands along a sine."""
    return stripes(u + np.float32(0.45) * np.sin(v * np.float32(3.6)), v) * np.float32(0.7)


def checks(u: Field, v: Field) -> Field:
    """A chessboard."""
    edge = np.minimum(_HALF - np.abs(_centred(u)), _HALF - np.abs(_centred(v)))
    sign = _ONE - _TWO * _odd(np.floor(u) + np.floor(v))
    return sign * edge


def bricks(u: Field, v: Field) -> Field:
    """Long stones in shifted rows, with joints."""
    row = np.floor(v)
    along = u * _HALF + _HALF * _odd(row)
    gap: Field = np.minimum(_HALF - np.abs(_centred(v)), _ONE - _TWO * np.abs(_centred(along)))
    return gap - np.float32(0.09)


def honeycomb(u: Field, v: Field) -> Field:
    """Regular hexagons with thin walls."""
    x1, y1 = _centred(u), _centred(v / _ROOT3) * _ROOT3
    x2, y2 = _centred(u + _HALF), _centred(v / _ROOT3 + _HALF) * _ROOT3
    nearest = x1 * x1 + y1 * y1 < x2 * x2 + y2 * y2
    x, y = np.abs(np.where(nearest, x1, x2)), np.abs(np.where(nearest, y1, y2))
    return np.float32(0.42) - np.maximum(x, x * _HALF + y * _ROOT3 * _HALF)


def scales(u: Field, v: Field) -> Field:
    """Overlapping arcs in shifted rows, as on a fish."""
    v = v * _TWO
    row = np.floor(v)
    inside = v - row
    here = _length(_centred(u + _HALF * _odd(row)), inside * _HALF)
    above = _length(_centred(u + _HALF * _odd(row + _ONE)), (inside + _ONE) * _HALF)
    radius = np.where(here < _HALF, here, above)
    return np.float32(0.09) - np.abs(radius - np.float32(0.41))


def blobs(u: Field, v: Field) -> Field:
    """Patches as in camouflage: a threshold over waves in seven directions."""
    total = np.zeros_like(u)
    for number in range(7):
        angle, wave = np.float32(number * 2.399963), np.float32(4.2 + 0.4 * number)
        total += np.sin((u * np.cos(angle) + v * np.sin(angle)) * wave + np.float32(7) * angle)
    return total * np.float32(0.06)


def dots(u: Field, v: Field) -> Field:
    """Discs."""
    x, y, size = _scatter(u, v)
    return size * np.float32(0.31) - _length(x, y)


def rings(u: Field, v: Field) -> Field:
    """Thin circles."""
    x, y, size = _scatter(u, v)
    from_circle: Field = np.abs(_length(x, y) - size * np.float32(0.32))
    return size * np.float32(0.075) - from_circle


def crosses(u: Field, v: Field) -> Field:
    """Plus signs, each turned its own way."""
    x, y, size = _scatter(u, v)
    x, y = np.abs(x), np.abs(y)
    edge: Field = np.minimum(size * np.float32(0.095) - np.minimum(x, y), size * np.float32(0.42) - np.maximum(x, y))
    return edge


def triangles(u: Field, v: Field) -> Field:
    """Equilateral triangles, each turned its own way."""
    x, y, size = _scatter(u, v)
    outwards: Field = np.maximum(-y, np.abs(x) * _ROOT3 * _HALF + y * _HALF)
    return size * np.float32(0.2) - outwards


def stars(u: Field, v: Field) -> Field:
    """Five-pointed stars, each turned its own way."""
    x, y, size = _scatter(u, v)
    sector = np.float32(2 * math.pi / _STAR_POINTS)
    turned: Field = np.abs(_centred(_angle(x, y) / sector + _HALF))
    angle = turned * sector
    radius = _length(x, y)
    outwards: Field = radius * (np.cos(angle) + np.float32(1.35) * np.sin(angle))
    return (size * np.float32(0.43) - outwards) * np.float32(0.6)


PATTERNS: dict[str, Pattern] = {
    pattern.__name__: pattern
    for pattern in (
        blobs,
        bricks,
        checks,
        crosses,
        dots,
        honeycomb,
        rings,
        scales,
        stars,
        stripes,
        triangles,
        waves,
    )
}


def cell_noise(u: Field, v: Field, salt: float) -> Field:
    """A number in [0, 1) that is the same all over a cell and unrelated between cells."""
    product = np.sin(np.floor(u) * np.float32(12.9898) + np.floor(v) * np.float32(78.233) + np.float32(salt))
    product *= np.float32(437.585)
    return product - np.floor(product)


def _angle(x: Field, y: Field) -> Field:
    return np.arctan2(y, x, dtype=np.float32)


def _odd(row: Field) -> Field:
    """1 in odd rows and 0 in even ones."""
    return np.mod(row, _TWO)


def _length(x: Field, y: Field) -> Field:
    return np.sqrt(x * x + y * y)  # half the time of hypot


def _centred(x: Field) -> Field:
    """Position within a period, from -0.5 to 0.5."""
    return x - np.floor(x) - _HALF


def _scatter(u: Field, v: Field) -> tuple[Field, Field, Field]:
    """One object per cell of shifted rows: its own coordinates, turned by its own angle, and its own size near 1."""
    u = u + _HALF * _odd(np.floor(v))
    angle = cell_noise(u, v, 1.0) * np.float32(2 * np.pi)
    size = np.float32(0.85) + np.float32(0.3) * cell_noise(u, v, 2.0)
    x, y = _centred(u), _centred(v)
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos - y * sin, x * sin + y * cos, size
