"""A JPEG's segments, read without decoding: frame, colours, EXIF orientation, and segments cut out without re-encoding.

Marker codes and layouts are those of ITU-T T.81 annex B; the orientation tag is 0x0112 of TIFF 6.0 in an Exif APP1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

START_OF_SCAN = 0xDA
FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
LOSSLESS_OR_HIERARCHICAL = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
LOSSLESS = 0xC3
HUFFMAN_TABLES = 0xC4
MOST_JUNK, FEW = 4096, 4  # bytes before the beginning: blanks and zeros, or anything
APP1, APP2 = 0xE1, 0xE2
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
ORIENTATION_TAG = 0x0112


Segment = tuple[int, int, int]  # marker code, and the bytes [start, end) it occupies, the marker's own included


class JpegHeader(NamedTuple):
    """What a JPEG says about itself up to its first scan's header.

    Attributes:
        width: in pixels.
        height: in pixels.
        precision: bits per sample.
        num_components: 1 grey, 3 colour, 4 ink.
        frame: code of the start-of-frame marker.
        orientation: EXIF's, 1 to 8; 1 where nothing is said.
        is_one_scan: whether that scan holds all components of a sequential frame, so that no other may follow.
    """

    width: int
    height: int
    precision: int
    num_components: int
    frame: int
    orientation: int
    is_one_scan: bool


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
        end = position + 2 + (content[position + 2] << 8) + content[position + 3]
        if marker in (0x00, 0xD8, 0xD9) or end > size or end < position + 4:
            return
        yield marker, position, end
        if marker == START_OF_SCAN:
            return
        position = end


def read_header(content: bytes) -> JpegHeader | None:
    """The header, or None when there is no frame before the first scan."""
    orientation, frame, scan_components = 1, 0, 0
    for marker, start, end in segments(content):
        if marker == APP1:
            if content.startswith(EXIF, start + 4):
                orientation = _orientation(content[start + 10 : end]) or orientation
        elif marker in FRAMES and end - start >= 10:
            frame = start
        elif marker == START_OF_SCAN and end - start >= 5:
            scan_components = content[start + 4]
    if not frame:
        return None
    precision, height, width, components = struct.unpack_from(">BHHB", content, frame + 4)
    code = content[frame + 1]
    is_one_scan = code in SEQUENTIAL and scan_components == components
    return JpegHeader(width, height, precision, components, code, orientation, is_one_scan)


def without_segments(content: bytes, marker: int, tag: bytes) -> bytes:
    """The file without the segments of this kind; every other byte stays, so the pixels do."""
    kept, position = [], 0
    for found, start, end in segments(content):
        if found == marker and content.startswith(tag, start + 4):
            kept.append(content[position:start])
            position = end
    return b"".join([*kept, content[position:]])


def without_junk(content: bytes) -> bytes:
    """The file without bytes before its beginning and between the segments of its header; itself if there are none.

    In front only a little is taken for junk: other kinds of files have whole JPEGs inside.
    """
    start = content.find(b"\xff\xd8\xff", 0, MOST_JUNK)
    if start < 0 or (start > FEW and content[:start].strip(b"\0\t\n\r ")):
        return content
    junk, position = [(0, start)] if start else [], start + 2
    while 0 <= position <= len(content) - 4:
        segment = _next_segment(content, position)
        if segment < 0:
            return content
        if content[position:segment].strip(b"\xff"):  # bytes to fill up with are none
            junk.append((position, segment))
        if content[segment + 1] == START_OF_SCAN:
            break
        position = segment + 2 + (content[segment + 2] << 8) + content[segment + 3]
    return _without(content, junk) if junk else content


def _without(content: bytes, spans: list[tuple[int, int]]) -> bytes:
    kept, position = [], 0
    for start, end in spans:
        kept.append(content[position:start])
        position = end
    return b"".join([*kept, content[position:]])


def has_huffman_tables(content: bytes) -> bool:
    """Whether a table is defined before the first scan; frames of films leave them out."""
    return any(marker == HUFFMAN_TABLES for marker, _, _ in segments(content))


def _next_segment(content: bytes, position: int) -> int:
    """Where the next header segment begins, from `position` on, fill bytes before it left aside; -1 if nowhere."""
    while 0 <= position < len(content) - 3:
        marker = content[position + 1]
        if content[position] == 0xFF and 0xC0 <= marker < 0xFF and not 0xD0 <= marker <= 0xD9:
            return position
        position = content.find(b"\xff", position + 1)
    return -1


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
