"""One demo picture: a class's pattern over a patchwork of regions, each with its own colours, scale and angle.

Colour, scale and direction change from region to region and from picture to picture, so the one thing that two crops
of a picture have in common is the pattern: that is the class. Pixels compared one by one say next to nothing about it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.demo.patterns import PATTERNS, Field, cell_noise

CLASSES = tuple(PATTERNS)
SIDE = (200, 600)  # pixels
CELLS = (4.0, 6.0)  # along the shorter side
REGIONS = (1, 3)
DARK, LIGHT, TINT = (40.0, 90.0), (170.0, 225.0), 45.0  # grey levels


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Regions of a picture; `index` (height, width) says which one a pixel is in, the other arrays list the regions."""

    index: NDArray[np.intp]
    turns: NDArray[np.float32]  # (2, 2, regions) from pixels to cells
    shifts: NDArray[np.float32]  # (2, regions) in cells
    pixels_per_cell: NDArray[np.float32]  # (regions,)
    inks: NDArray[np.float32]  # (2, 3, regions) colour outside and inside the pattern, 0 to 255


def draw_jpeg(label: int, seed: tuple[int, int]) -> bytes:
    """A JPEG of class `label`, fully decided by the seed."""
    random = np.random.Generator(np.random.PCG64(seed))
    buffer = io.BytesIO()
    Image.fromarray(draw(label, random)).save(buffer, "JPEG", quality=int(random.integers(80, 93)))
    return buffer.getvalue()


def draw(label: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Pixels of a picture of class `label`: (height, width, 3)."""
    width, height = (int(side) for side in random.integers(SIDE[0], SIDE[1] + 1, size=2))
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    regions = _draw_regions(x, y, random)
    u, v = _to_cells(x, y, regions, random)
    distance = PATTERNS[CLASSES[label]](u, v)
    distance *= regions.pixels_per_cell[regions.index]
    inside = np.clip(distance + np.float32(0.5), 0, 1)
    light = _light(x, y, u, v, random)
    grain = random.standard_normal((height, width), dtype=np.float32) * np.float32(random.uniform(2, 9))
    return _paint(inside, light, grain, regions)


def _paint(inside: Field, light: Field, grain: Field, regions: Regions) -> NDArray[np.uint8]:
    """One channel at a time: gathering whole colours per pixel takes four times as long."""
    pixels = np.empty((*inside.shape, 3), dtype=np.uint8)
    for channel in range(3):
        outside_ink, inside_ink = regions.inks[0, channel], regions.inks[1, channel]
        colour = (inside_ink - outside_ink)[regions.index]
        colour *= inside
        colour += outside_ink[regions.index]
        colour *= light
        colour += grain
        pixels[..., channel] = np.clip(colour, 0, 255, out=colour)
    return pixels


def _draw_regions(x: Field, y: Field, random: np.random.Generator) -> Regions:
    """Cells of a Voronoi diagram over a few random points."""
    height, width = len(y), x.shape[1]
    count = int(random.integers(REGIONS[0], REGIONS[1] + 1))
    points = random.uniform((0, 0), (width, height), size=(count, 2)).astype(np.float32)
    angles = random.uniform(0, 2 * np.pi, size=count)
    cells_per_pixel = random.uniform(*CELLS, size=count) / min(height, width)
    turns = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]) * cells_per_pixel
    return Regions(
        index=_nearest(x, y, points),
        turns=turns.astype(np.float32),
        shifts=random.uniform(0, 50, size=(2, count)).astype(np.float32),
        pixels_per_cell=(1 / cells_per_pixel).astype(np.float32),
        inks=np.stack([_two_colours(random) for _ in range(count)], axis=-1),
    )


def _nearest(x: Field, y: Field, points: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which point is nearest to each pixel; a running minimum, for argmin over the first axis is slow."""
    index = np.zeros((len(y), x.shape[1]), dtype=np.intp)
    best = (x - points[0, 0]) ** 2 + (y - points[0, 1]) ** 2
    for number, (px, py) in enumerate(points[1:], start=1):
        square = (x - px) ** 2 + (y - py) ** 2
        index[square < best] = number
        np.minimum(best, square, out=best)
    return index


def _two_colours(random: np.random.Generator) -> NDArray[np.float32]:
    """A dark and a light colour in either order, each tinted at random; they still differ when turned to grey."""
    levels = np.array([random.uniform(*DARK), random.uniform(*LIGHT)])
    if random.random() < 0.5:
        levels = levels[::-1]
    return (levels[:, None] + random.uniform(-TINT, TINT, size=(2, 3))).astype(np.float32)


def _to_cells(x: Field, y: Field, regions: Regions, random: np.random.Generator) -> tuple[Field, Field]:
    """Pattern coordinates of every pixel, bent a little so that no two pictures have quite the same lines."""
    side = np.float32(min(regions.index.shape))
    bend, phase = random.uniform(0, 0.02, size=2), random.uniform(0, 2 * np.pi, size=2)
    bent_x = x + side * np.float32(bend[0]) * np.sin(y * np.float32(7 / side) + np.float32(phase[0]))
    bent_y = y + side * np.float32(bend[1]) * np.sin(x * np.float32(7 / side) + np.float32(phase[1]))
    u, v = (
        turn[0][regions.index] * bent_x + turn[1][regions.index] * bent_y + shift[regions.index]
        for turn, shift in zip(regions.turns, regions.shifts, strict=True)
    )
    return u, v


def _light(x: Field, y: Field, u: Field, v: Field, random: np.random.Generator) -> Field:
    """Factor of brightness: a slope across the picture and a shade per cell."""
    height, width = u.shape
    slope = random.uniform(-0.45, 0.45, size=2)
    slopes = np.float32(slope[0] / width) * (x - width / 2) + np.float32(slope[1] / height) * (y - height / 2)
    shades = np.float32(random.uniform(0, 0.25)) * (cell_noise(u, v, 3.0) - np.float32(0.5))
    return np.asarray(np.float32(random.uniform(0.75, 1.1)) + slopes + shades, dtype=np.float32)
