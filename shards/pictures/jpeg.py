"""A JPEG's segments, read without decoding: frame, colours, EXIF orientation, and segments cut out without re-encoding.

Marker codes and layouts are those of ITU-T T.81 annex B; the orientation tag is 0x0112 of TIFF 6.0 in an Exif APP1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

START_OF_SCAN = 0xDA
FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
LOSSLESS_OR_HIERARCHICAL = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
APP1, APP2 = 0xE1, 0xE2
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
ORIENTATION_TAG = 0x0112


class Segment(NamedTuple):
    """A marker segment: its code and the bytes [start, end) of the file that it occupies, marker included."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class JpegHeader:
    """What a JPEG says about itself before its first scan. `orientation` is 1 to 8, 1 where nothing is said."""

    width: int
    height: int
    precision: int
    num_components: int
    frame: int
    orientation: int


def segments(content: bytes) -> Iterator[Segment]:
    """The segments up to the first scan's header. Stops early where the structure breaks."""
    position, size = 2, len(content)
    while position + 4 <= size:
        if content[position] != 0xFF:
            return
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker in (0x00, 0xD8, 0xD9) or end > size or end < position + 4:
            return
        yield Segment(marker, position, end)
        if marker == START_OF_SCAN:
            return
        position = end


def read_header(content: bytes) -> JpegHeader | None:
    """The header, or None when there is no frame before the first scan."""
    orientation, frame = 1, None
    for segment in segments(content):
        if segment.marker in FRAMES and segment.end - segment.start >= 10:
            frame = segment
        elif segment.marker == APP1 and content.startswith(EXIF, segment.start + 4):
            orientation = _orientation(content[segment.start + 10 : segment.end]) or orientation
    if frame is None:
        return None
    precision, height, width, components = struct.unpack_from(">BHHB", content, frame.start + 4)
    return JpegHeader(
        width=width,
        height=height,
        precision=precision,
        num_components=components,
        frame=frame.marker,
        orientation=orientation,
    )


def without_segments(content: bytes, marker: int, tag: bytes) -> bytes:
    """The file without the segments of this kind; every other byte stays, so the pixels do."""
    kept, position = [], 0
    for segment in segments(content):
        if segment.marker == marker and content.startswith(tag, segment.start + 4):
            kept.append(content[position : segment.start])
            position = segment.end
    return b"".join([*kept, content[position:]])


def _orientation(tiff: bytes) -> int | None:
    """Orientation 1 to 8 of an Exif block, or None where it is absent or nonsense."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 14:
        return None
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    if first + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for entry in range(first + 2, min(first + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if tag == ORIENTATION_TAG:
            (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), tiff, entry + 8)
            return value if 1 <= value <= 8 else None
    return None
