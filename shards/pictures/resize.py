"""Shrinking pictures: an option, off by default, because it encodes again and loses detail."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image

from shards.errors import ShardError


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Pictures whose shorter side exceeds `short_side` pixels are shrunk to it and encoded as JPEG of `quality`."""

    short_side: int
    quality: int = 92

    def __post_init__(self) -> None:
        if self.short_side < 1 or not 1 <= self.quality <= 100:
            found = (self.short_side, self.quality)
            raise ShardError(
                "out of range", where="--short-side, --quality", found=found, expected="1 or more, 1 to 100"
            )


def resized(suffix: str, content: bytes, resize: Resize) -> tuple[str, bytes]:
    """The picture with its shorter side at most `resize.short_side`; smaller ones come back untouched."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(content))
        if min(image.size) <= resize.short_side:
            return suffix, content
        factor = resize.short_side / min(image.size)
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        mode = "L" if image.mode == "L" else "RGB"
        small = image.convert(mode).resize(size, Image.Resampling.LANCZOS)
    small.info.clear()
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=resize.quality)
    return "jpg", buffer.getvalue()
