"""Our crops beside torchvision's, for the same drawn parameters: how many levels apart, step by step.

`compare` isolates each step on the same windows, so that a difference has one cause; the two chains add them up.
`python -m pipelines show` draws what `our_crops` and `torchvision_crops` return. Random draws are compared as
distributions in pipelines.parity.distributions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from pipelines.crops import parameters as p
from pipelines.crops.kernels import crops_of
from pipelines.parity.reference import NEUTRAL, Array, Path, torchvision_crops

Maker = Callable[[Sequence[Array], Sequence[Array], int], Array]

_LEVELS = np.array([[1, 1, 1], [0, 0, 0]], np.float32)

STEPS: dict[str, tuple[int, ...]] = {
    "crop + resize": (),
    "brightness": (p.BRIGHTNESS,),
    "contrast": (p.CONTRAST,),
    "saturation": (p.SATURATION,),
    "hue": (p.HUE,),
    "gray": (p.GRAY,),
    "blur": (p.SIGMA,),
    "solarize": (p.SOLARIZE,),
    "chain before blur": (p.FLIP, p.BRIGHTNESS, p.CONTRAST, p.SATURATION, p.HUE, p.GRAY),
    "whole chain": (p.FLIP, p.BRIGHTNESS, p.CONTRAST, p.SATURATION, p.HUE, p.GRAY, p.SIGMA, p.SOLARIZE),
}
"""The steps compared, each with the columns it keeps; all others are made neutral."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How far one step lies from one yardstick, in levels of 0 to 255."""

    step: str
    against: str
    most: int
    mean: float
    crops: int


def our_crops(image: Array, rows: Array, size: int) -> Array:
    """The compiled kernels' crops as levels: uint8 (num, size, size, 3) from uint8 (height, width, 3)."""
    return crops_of(image, rows.astype(np.float32), size, _LEVELS).astype(np.uint8)


def compare(
    images: Sequence[Array], rows: Sequence[Array], size: int, *, make: Maker | None = None
) -> list[Difference]:
    """Every step against torchvision's two paths, and the blur against Pillow's own.

    Args:
        images: uint8 (height, width, 3) each.
        rows: float32 (num, COLUMNS) for each image.
        size: side of the crops.
        make: what makes the crops compared, all images in one uint8 stack; the compiled kernels if None.
    """
    make, found = make or _all, []
    for step in STEPS:
        kept = [only(step, each) for each in rows]
        ours = make(images, kept, size)
        paths: tuple[Path, ...] = ("pillow", "tensor")
        for path in paths:
            theirs = np.concatenate(
                [torchvision_crops(image, each, size, path=path) for image, each in zip(images, kept, strict=True)]
            )
            found.append(difference(step, path, ours, theirs))
        if step == "blur":
            found.append(difference(step, "ImageFilter", ours, _pillow_blur(images, kept, size)))
    return found


def only(step: str, rows: Array) -> Array:
    """`rows` (num, COLUMNS) with everything neutral that is not part of `step`."""
    kept, columns = rows.copy(), STEPS[step]
    for column in (p.FLIP, p.GRAY, p.SIGMA, p.SOLARIZE):
        if column not in columns:
            kept[:, column] = 0
    for operation, neutral in enumerate(NEUTRAL):
        if p.BRIGHTNESS + operation not in columns:
            kept[:, p.BRIGHTNESS + operation] = neutral
    if len(columns) == 1:  # a step on its own happens in every crop, whatever its coin said
        kept[:, p.JITTER] = columns[0] in range(p.BRIGHTNESS, p.HUE + 1)
        kept[:, p.GRAY] = columns[0] == p.GRAY
        kept[:, p.SOLARIZE] = columns[0] == p.SOLARIZE
    elif not columns:
        kept[:, p.JITTER] = 0
    return kept


def difference(step: str, against: str, ours: Array, theirs: Array) -> Difference:
    """Compare two uint8 stacks of crops."""
    apart = np.abs(ours.astype(np.int16) - theirs.astype(np.int16))
    return Difference(step=step, against=against, most=int(apart.max()), mean=float(apart.mean()), crops=len(ours))


def table(differences: Sequence[Difference]) -> str:
    """The differences as lines of text, one per step and yardstick."""
    lines = [f"{'step':18} {'against':12} {'max':>4} {'mean':>8}  crops"]
    lines += [f"{d.step:18} {d.against:12} {d.most:4d} {d.mean:8.4f}  {d.crops}" for d in differences]
    return "\n".join(lines)


def _all(images: Sequence[Array], rows: Sequence[Array], size: int) -> Array:
    return np.concatenate([our_crops(image, each, size) for image, each in zip(images, rows, strict=True)])


def _pillow_blur(images: Sequence[Array], rows: Sequence[Array], size: int) -> Array:
    """The reference's own blur, three box blurs, on the plain resized crops."""
    blurred: list[Any] = []
    for image, each in zip(images, rows, strict=True):
        for crop, sigma in zip(our_crops(image, only("crop + resize", each), size), each[:, p.SIGMA], strict=True):
            blurred.append(np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(float(sigma)))))
    return np.stack(blurred)
