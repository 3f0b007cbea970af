"""Mending a picture: without loss where that is possible, and saying so where it is not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
from PIL import Image, ImageOps

from shards.host.quiet import standard_error_closed
from shards.pictures import png, webp
from shards.pictures.jpeg import APP1, APP2, EXIF, ICC, without_junk, without_segments

QUALITY = 95
WIDE_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})


def strip_exif(content: bytes, suffix: str) -> bytes:
    """Without the EXIF block: loaders that would turn the picture no longer do. Lossless."""
    if suffix == "jpg":
        return without_segments(without_junk(content), APP1, EXIF)
    return _encode(_decoded(content), "PNG") if suffix == "png" else webp.without_exif(content)


def usual(content: bytes, suffix: str) -> tuple[str, bytes]:
    """Suffix and content of the same pixels as DALI decodes them: without what is odd, or as PNG. Lossless.

    Raises OSError, or whatever else Pillow's plugins do, where a PNG cannot be made.
    """
    if suffix == "webp" and webp.oddity(cut := webp.without_exif(content)) is None:
        return suffix, cut
    if suffix == "png" and png.oddity(cut := png.without_chunks(content, png.ANIMATION)) is None:
        return suffix, cut
    if suffix == "jpg" and (cut := without_junk(content)) is not content:
        return suffix, cut
    return "png", to_png(content)


def strip_profile(content: bytes) -> bytes:
    """A JPEG without its colour profile segments. Lossless."""
    return without_segments(content, APP2, ICC)


def upright(content: bytes, suffix: str) -> bytes:
    """Turned as its EXIF block says, and without the block. JPEGs are encoded again: lossy."""
    turned = ImageOps.exif_transpose(_decoded(content))
    turned.info.pop("exif", None)
    return _encode(turned, {"jpg": "JPEG", "png": "PNG"}.get(suffix, "WEBP"))


def to_rgb_jpeg(content: bytes) -> bytes:
    """A JPEG of RGB colours, at quality 95 without chroma subsampling, without profile or EXIF. Lossy."""
    image = _decoded(content).convert("RGB")
    image.info.clear()
    return _encode(image, "JPEG")


def to_png(content: bytes) -> bytes:
    """The first frame as a PNG of 8 bits per channel. Loses nothing but bits beyond the eighth."""
    image = _decoded(content)
    if image.mode in WIDE_MODES:
        image = _upper_eight_bits(image)
    if image.mode not in ("L", "RGB", "RGBA", "P", "1", "LA"):
        image = image.convert("RGB")
    return _encode(image, "PNG")


def _decoded(content: bytes) -> Image.Image:
    with quietly(content):
        image = Image.open(io.BytesIO(content))
        image.load()
    return image


@contextmanager
def quietly(content: bytes) -> Iterator[None]:
    """No remarks of Pillow on metadata and size, and none of libtiff, which writes to the terminal itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with standard_error_closed() if content[:2] in (b"II", b"MM") else nullcontext():
            yield


def _upper_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    shift = 256 if np.issubdtype(values.dtype, np.integer) else 1
    return Image.fromarray(np.clip(values // shift, 0, 255).astype(np.uint8))


def _encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "JPEG":
        image.save(buffer, kind, quality=QUALITY, subsampling=0)
    else:
        image.save(buffer, kind, lossless=True)  # which WebP needs and PNG ignores
    return buffer.getvalue()
