"""Looking at one picture: format, size, and every trouble, with a full decode under strict libjpeg warnings.

JPEGs are decoded to grey at an eighth of their size: libjpeg still reads the code of every coefficient of every
component, which is where damage shows, but skips transform and colours, a third of the time. Its warnings are the same
as at full size. What no decoder can see, such as a run of zeros that happens to be valid code, passes here too.
"""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image

from shards.pictures import png, webp
from shards.pictures.jpeg import (
    LOSSLESS,
    LOSSLESS_OR_HIERARCHICAL,
    JpegHeader,
    has_huffman_tables,
    read_header,
    without_junk,
)
from shards.pictures.mend import WIDE_MODES, quietly
from shards.pictures.sniff import describe_bytes, named_suffix, true_suffix
from shards.pictures.troubles import MOST_STRETCHED, Finding, Trouble

MAX_SCANS = 500  # a progressive file of thousands of scans keeps a decoder busy for hours
RARE = frozenset({"gif", "bmp", "tiff", "ppm", "pgm", "pbm", "jp2", "avif"})
DEFAULT_MAX_PIXELS = 100_000_000
DAMAGE = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")  # what libjpeg says of picture data


class Inspection(NamedTuple):
    """What was seen. `suffix` is None where the bytes are no picture; width and height in pixels, 0 where unknown."""

    suffix: str | None
    width: int = 0
    height: int = 0
    orientation: int = 1
    findings: tuple[Finding, ...] = ()


def inspect(content: bytes, name: str, *, max_pixels: int = DEFAULT_MAX_PIXELS, decode: bool = True) -> Inspection:
    """Look at a picture's bytes.

    Args:
        content: the whole file.
        name: the original name, compared with the true format.
        max_pixels: beyond this nothing is decoded.
        decode: whether to decode every pixel; without it only headers are read.
    """
    suffix = true_suffix(content) or true_suffix(without_junk(content))
    if not content:
        return Inspection(suffix=None, findings=(Finding(trouble=Trouble.EMPTY),))
    if suffix is None:
        finding = Finding(trouble=Trouble.NOT_AN_IMAGE, detail=describe_bytes(content))
        return Inspection(suffix=None, findings=(finding,))
    look = _look_at_jpeg if suffix == "jpg" else _look_at_other
    inspection = look(content, suffix, max_pixels, decode)
    claimed = named_suffix(name)
    if claimed not in ("", suffix) and suffix not in RARE:  # rows of tables have places instead of names
        misnamed = Finding(trouble=Trouble.MISNAMED, detail=f"{suffix} data named .{claimed}")
        return _with(inspection, misnamed)
    return inspection


def _look_at_jpeg(content: bytes, suffix: str, max_pixels: int, decode: bool) -> Inspection:
    clean = without_junk(content)
    seen = _look_at_clean_jpeg(clean, suffix, max_pixels, decode)
    if clean is content:
        return seen
    return _with(
        seen, Finding(trouble=Trouble.UNUSUAL, detail=f"{len(content) - len(clean)} bytes of junk in its header")
    )


def _look_at_clean_jpeg(content: bytes, suffix: str, max_pixels: int, decode: bool) -> Inspection:
    header = read_header(content)
    if header is None:
        finding = Finding(trouble=Trouble.CORRUPT, detail="no frame header before the first scan")
        return Inspection(suffix=suffix, findings=(finding,))
    seen = Inspection(suffix=suffix, width=header.width, height=header.height, orientation=header.orientation)
    if (hopeless := _hopeless(content, header, max_pixels)) is not None:
        return _with(seen, hopeless)
    if header.num_components == 4:
        seen = _with(seen, Finding(trouble=Trouble.CMYK, detail="4 components"))
    if header.orientation != 1:
        seen = _with(seen, Finding(trouble=Trouble.ROTATED, detail=f"EXIF orientation {header.orientation}"))
    message = strict_message(content, header) if decode else None
    damage = None if message is None else _classify(content, message)
    return seen if damage is None else _with(seen, damage)


def _hopeless(content: bytes, header: JpegHeader, max_pixels: int) -> Finding | None:
    """What makes decoding pointless or dangerous."""
    if header.frame in LOSSLESS_OR_HIERARCHICAL or header.precision != 8:
        is_sound = header.frame == LOSSLESS and header.precision == 8 and _pillow_damage(content) is None
        trouble = Trouble.UNUSUAL if is_sound else Trouble.UNSUPPORTED
        return Finding(trouble=trouble, detail=f"SOF{header.frame - 0xC0}, {header.precision} bits")
    if header.num_components not in (1, 3, 4):
        return Finding(trouble=Trouble.UNSUPPORTED, detail=f"{header.num_components} components")
    if (too_large := _too_large(header.width, header.height, max_pixels)) is not None:
        return too_large
    if header.width == 0 or header.height == 0:
        return Finding(trouble=Trouble.CORRUPT, detail=f"{header.width} x {header.height} pixels")
    if not header.is_one_scan and content.count(b"\xff\xda") > MAX_SCANS:  # counting costs as much as hashing
        return Finding(trouble=Trouble.CORRUPT, detail=f"more than {MAX_SCANS} scans")
    return None


def _too_large(width: int, height: int, max_pixels: int) -> Finding | None:
    short, long = sorted((width, height))
    if width * height <= max_pixels and long <= short * MOST_STRETCHED:
        return None
    return Finding(trouble=Trouble.TOO_LARGE, detail=f"{width} x {height} pixels") if short else None


def strict_message(content: bytes, header: JpegHeader) -> str | None:
    """What libjpeg says against a JPEG while it reads all of it, warnings included; None if nothing."""
    import simplejpeg

    colours = "CMYK" if header.num_components == 4 else "GRAY"
    try:
        simplejpeg.decode_jpeg(content, colorspace=colours, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return str(error)
    return None


def _classify(content: bytes, message: str) -> Finding | None:
    """The trouble behind a message of libjpeg."""
    if "subsampling level" in message:  # TurboJPEG's own limit: libjpeg, Pillow and DALI decode such files
        damage = _pillow_damage(content)
        return None if damage is None else Finding(trouble=Trouble.CORRUPT, detail=damage)
    if "Premature end" in message:
        return Finding(trouble=Trouble.TRUNCATED, detail=message)
    if "bad ICC marker" in message:
        return Finding(trouble=Trouble.BAD_METADATA, detail=message)
    is_frame = not has_huffman_tables(content)  # of a film, where padding between restarts is usual
    if (is_frame or not message.startswith(DAMAGE)) and _pillow_damage(content) is None:
        return Finding(trouble=Trouble.UNUSUAL, detail=message)
    return Finding(trouble=Trouble.CORRUPT, detail=message)


def _look_at_other(content: bytes, suffix: str, max_pixels: int, decode: bool) -> Inspection:
    """Formats that Pillow reads; one that Pillow cannot open is damaged."""
    try:
        with quietly(content), Image.open(io.BytesIO(content)) as image:
            width, height, mode = *image.size, image.mode
            orientation = image.getexif().get(0x0112, 1)
            sixteen = mode in WIDE_MODES or _is_sixteen_bit_png(content)
    except Image.DecompressionBombError as error:
        return Inspection(suffix=suffix, findings=(Finding(trouble=Trouble.TOO_LARGE, detail=_one_line(error)),))
    except Exception as error:  # Pillow's plugins raise whatever their parsers trip over
        return Inspection(suffix=suffix, findings=(Finding(trouble=Trouble.CORRUPT, detail=_one_line(error)),))
    seen = Inspection(suffix=suffix, width=width, height=height, orientation=orientation)
    if (too_large := _too_large(width, height, max_pixels)) is not None:
        return _with(seen, too_large)
    if suffix in RARE:
        seen = _with(seen, Finding(trouble=Trouble.RARE_FORMAT, detail=suffix))
    if sixteen:
        seen = _with(seen, Finding(trouble=Trouble.SIXTEEN_BIT, detail=f"mode {mode}"))
    if (odd := _oddity(content, suffix, decode)) is not None:
        seen = _with(seen, Finding(trouble=Trouble.UNUSUAL, detail=odd))
    if orientation in range(2, 9):
        seen = _with(seen, Finding(trouble=Trouble.ROTATED, detail=f"EXIF orientation {orientation}"))
    damage = _pillow_damage(content) if decode else None
    if damage is None:
        return seen
    is_short = "truncated" in damage.lower()
    return _with(seen, Finding(trouble=Trouble.TRUNCATED if is_short else Trouble.CORRUPT, detail=damage))


def _oddity(content: bytes, suffix: str, decode: bool) -> str | None:
    if suffix == "png":
        return png.oddity(content, decode=decode)
    return webp.oddity(content) if suffix == "webp" else None


def _pillow_damage(content: bytes) -> str | None:
    """What Pillow says when it cannot decode every pixel, or None when it can."""
    try:
        with quietly(content), Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception as error:
        return _one_line(error)
    return None


def _is_sixteen_bit_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") and len(content) > 24 and content[24] == 16


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:200]


def _with(inspection: Inspection, finding: Finding) -> Inspection:
    return inspection._replace(findings=(*inspection.findings, finding))
