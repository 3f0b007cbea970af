"""Small pictures of many kinds, damaged at random, for tests of what is let through to the decoder."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from shards.pictures import png, webp


def drawn(seed: int, kind: str, *, mode: str = "RGB", frames: int = 1, **save: Any) -> bytes:
    """An encoded picture of 20 to 60 pixels a side; the same arguments give the same bytes."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(20, 60, 2)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    image = coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).convert(mode)
    if frames > 1:
        save |= {"save_all": True, "append_images": [image.rotate(90 * turn) for turn in range(1, frames)]}
    buffer = io.BytesIO()
    image.save(buffer, kind, **save)
    return buffer.getvalue()


def exif(orientation: int | None = None) -> bytes:
    """An EXIF block with a description of odd length, and an orientation if wanted."""
    block = Image.Exif()
    block[0x010E] = "abc"
    if orientation is not None:
        block[0x0112] = orientation
    return block.tobytes()


KINDS: dict[str, Callable[[int], bytes]] = {
    "png": lambda seed: drawn(seed, "PNG"),
    "png of a palette": lambda seed: drawn(seed, "PNG", mode="P"),
    "png with alpha": lambda seed: drawn(seed, "PNG", mode="RGBA"),
    "png with exif": lambda seed: drawn(seed, "PNG", exif=exif(6)),
    "animated png": lambda seed: drawn(seed, "PNG", frames=3),
    "webp": lambda seed: drawn(seed, "WEBP"),
    "lossless webp": lambda seed: drawn(seed, "WEBP", lossless=True),
    "webp with alpha": lambda seed: drawn(seed, "WEBP", mode="RGBA"),
    "webp with exif": lambda seed: drawn(seed, "WEBP", lossless=True, exif=exif()),
    "webp with a profile": lambda seed: drawn(seed, "WEBP", icc_profile=b"x" * 201),
    "animated webp": lambda seed: drawn(seed, "WEBP", frames=3),
    "gif": lambda seed: drawn(seed, "GIF"),
    "animated gif": lambda seed: drawn(seed, "GIF", frames=3),
    "tiff": lambda seed: drawn(seed, "TIFF"),
    "jpeg": lambda seed: drawn(seed, "JPEG"),
    "progressive jpeg": lambda seed: drawn(seed, "JPEG", progressive=True),
    "packed tiff": lambda seed: drawn(seed, "TIFF", compression="tiff_lzw"),
}


def damaged(content: bytes, generator: random.Random) -> bytes:
    """The picture cut, changed, lengthened or shortened somewhere; every other time its checksums fit again."""
    changed, kind = bytearray(content), generator.randrange(5)
    place = generator.randrange(len(changed))
    if kind == 0:
        del changed[max(place, 1) :]
    elif kind in (1, 2):
        last = len(changed) if kind == 1 else min(80, len(changed))
        for _ in range(generator.randrange(1, 4)):
            changed[generator.randrange(last)] = generator.randrange(256)
    elif kind == 3:
        changed[place:place] = generator.randbytes(generator.randrange(1, 9))
    else:
        del changed[place : place + generator.randrange(1, 9)]
    return with_sums(bytes(changed)) if generator.random() < 0.5 else bytes(changed)


def with_sums(content: bytes) -> bytes:
    """A PNG with the checksums of its chunks, a WebP with its size, as a writer would have them."""
    whole = bytearray(content)
    if content.startswith(png.SIGNATURE):
        for chunk in png.chunks(content):
            struct.pack_into(">I", whole, chunk.end - 4, zlib.crc32(content[chunk.start + 4 : chunk.end - 4]))
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP" and any(webp.chunks(content)):
        struct.pack_into("<I", whole, 4, len(content) - 8)
    return bytes(whole)
