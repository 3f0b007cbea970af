"""A picture of crops: a row per image, and for every crop ours, torchvision's and DALI's side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pipelines.parity.compare import our_crops
from pipelines.parity.fast_levels import fast_levels
from pipelines.parity.reference import torchvision_crops

Array = np.ndarray[Any, Any]

_GAP, _MARGIN, _WHITE, _BLACK = 4, 16, (255, 255, 255), (0, 0, 0)
_COLUMNS = ("cpu, gpu", "torchvision", "dali")


def contact_sheet(images: Sequence[Array], rows: Sequence[Array], size: int) -> Image.Image:
    """Draw the sheet.

    Args:
        images: uint8 (height, width, 3) each.
        rows: float32 (num, exact_parameters.COLUMNS) for each image, the same parameters for all three columns.
        size: side of the crops in pixels.
    """
    num = len(rows[0])
    step = size + _GAP
    width = step * (1 + num * len(_COLUMNS)) + _MARGIN * num
    sheet = Image.new("RGB", (width, _MARGIN + step * len(images)), _WHITE)
    pen = ImageDraw.Draw(sheet)
    fast = fast_levels(images, rows, size).reshape(len(images), num, size, size, 3)
    for number, (image, parameters) in enumerate(zip(images, rows, strict=True)):
        top = _MARGIN + number * step
        sheet.paste(_thumbnail(image, size), (0, top))
        made = (our_crops(image, parameters, size), torchvision_crops(image, parameters, size), fast[number])
        for crop in range(num):
            for column, crops in enumerate(made):
                sheet.paste(Image.fromarray(crops[crop]), (_left(crop, column, step), top))
    pen.text((0, 2), "image", fill=_BLACK)
    for crop in range(num):
        for column, title in enumerate(_COLUMNS):
            pen.text((_left(crop, column, step), 2), title, fill=_BLACK)
    return sheet


def _left(crop: int, column: int, step: int) -> int:
    return step + _MARGIN + crop * (len(_COLUMNS) * step + _MARGIN) + column * step


def _thumbnail(image: Array, size: int) -> Image.Image:
    picture = Image.fromarray(image)
    picture.thumbnail((size, size))
    return picture
