"""A WebP's chunks, read without decoding: what is odd about them, and its EXIF cut out without touching the pixels.

Layout by RFC 9649: a RIFF file whose first chunk may be VP8X, with flags for the others. DALI 2.4 reads past the
padding of a chunk of odd size in front of EXIF, so that about half of all files with EXIF fail in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

EXIF = b"EXIF"
EXIF_FLAG = 0x08
_HEAD = 12  # RIFF, size, WEBP
_FLAGS = 20  # the first byte of VP8X
_FLAG_OF = {b"ICCP": 0x20, EXIF: EXIF_FLAG, b"XMP ": 0x04, b"ANIM": 0x02}
_KNOWN = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"XMP ", EXIF})
_PICTURE = frozenset({b"VP8 ", b"VP8L", b"ANMF"})


class Chunk(NamedTuple):
    """A chunk's kind, and the bytes [start, end) it occupies with its header and padding."""

    kind: bytes
    start: int
    end: int


def chunks(content: bytes) -> Iterator[Chunk]:
    """The chunks up to the end or the first that is cut."""
    position = _HEAD
    while position + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, position + 4)
        end = position + 8 + length + length % 2
        if end > len(content):
            return
        yield Chunk(content[position : position + 4], position, end)
        position = end


def oddity(content: bytes) -> str | None:
    """What a strict decoder would stumble over and Pillow passes over, for a person; None if nothing."""
    found = list(chunks(content))
    kinds = [chunk.kind for chunk in found]
    (size,) = struct.unpack_from("<I", content, 4)
    if not found or found[-1].end != len(content) or size != len(content) - 8:
        return "another size than its header says"
    if not set(kinds) <= _KNOWN or not _PICTURE & set(kinds) or (len(kinds) > 1) != (kinds[0] == b"VP8X"):
        return "chunks out of order or unknown"
    flags = content[_FLAGS] if kinds[0] == b"VP8X" else 0
    if any(bool(flags & flag) != (kind in kinds) for kind, flag in _FLAG_OF.items() if kind != EXIF):
        return "flags for other chunks than it has"
    return "EXIF" if flags & EXIF_FLAG or EXIF in kinds else None


def without_exif(content: bytes) -> bytes:
    """The file without its EXIF chunk and the flag for it."""
    kept = bytearray(content[:_HEAD])
    for chunk in chunks(content):
        if chunk.kind != EXIF:
            kept += content[chunk.start : chunk.end]
    if kept[_HEAD : _HEAD + 4] == b"VP8X":
        kept[_FLAGS] &= ~EXIF_FLAG & 0xFF
    struct.pack_into("<I", kept, 4, len(kept) - 8)
    return bytes(kept)
