"""A PNG's chunks, read without decoding: what is odd about them, and chunks cut out without touching the pixels.

Layout by the PNG specification, third edition (W3C 2025), which also holds the chunks of animations.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Set
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
EXIF = b"eXIf"
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_COLOURS, _PALETTE = 25, 3  # where the kind of colours is, and that of palettes
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, and the steps of both, of the passes of an interlaced picture."""
_OVERHEAD = 12  # length, kind and checksum of a chunk, in bytes


class Chunk(NamedTuple):
    """A chunk's kind, and the bytes [start, end) it occupies with its length and checksum."""

    kind: bytes
    start: int
    end: int


def chunks(content: bytes) -> Iterator[Chunk]:
    """The chunks up to the end or the first that is cut."""
    position = len(SIGNATURE)
    while position + _OVERHEAD <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + _OVERHEAD + length
        if end > len(content):
            return
        yield Chunk(content[position + 4 : position + 8], position, end)
        position = end


def oddity(content: bytes, *, decode: bool = True) -> str | None:
    """What a strict decoder would stumble over and Pillow passes over, for a person; None if nothing.

    With `decode` the picture data are unpacked and counted, which takes half as long as decoding them.
    """
    found = list(chunks(content))
    kinds = [chunk.kind for chunk in found]
    if not all(kind.isalpha() and kind[2:3].isupper() for kind in kinds):  # the third letter of every known chunk is
        return "a chunk without a name"
    if not kinds or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or b"IDAT" not in kinds:
        return "chunks out of order or missing"
    if found[-1].end != len(content) or kinds.count(b"IEND") > 1 or kinds.count(b"IHDR") > 1:
        return "bytes behind the last chunk"
    if (head := _oddity_of_head(content, kinds)) is not None:
        return head
    if any(kind == b"IDAT" for kind in kinds[kinds.index(b"IDAT") + kinds.count(b"IDAT") :]):
        return "picture data in two places"
    if damaged := next((chunk.kind for chunk in found if not _is_whole(content, chunk)), None):
        return f"chunk {damaged.decode('ascii', 'backslashreplace')} has another checksum"
    if ANIMATION & set(kinds):
        return "an animation"
    return "too few picture data" if decode and not _has_every_row(content, found) else None


def _oddity_of_head(content: bytes, kinds: list[bytes]) -> str | None:
    """The same of the header and of what must stand before the picture data."""
    colours, compression, filters, interlace = content[_COLOURS : _COLOURS + 4]
    if compression or filters or interlace > 1:
        return "an unknown way of packing"
    num_palettes = kinds[: kinds.index(b"IDAT")].count(b"PLTE")
    if num_palettes != kinds.count(b"PLTE") or num_palettes > 1 or (colours == _PALETTE and not num_palettes):
        return "a palette out of place"
    if unknown := next((kind for kind in kinds if not kind[0] & 0x20 and kind not in _CRITICAL), None):
        return f"an unknown chunk {unknown.decode('ascii', 'backslashreplace')}"
    return None


def _has_every_row(content: bytes, found: list[Chunk]) -> bool:
    """Whether the data of all rows are there; Pillow leaves rows that are not black."""
    wanted, unpacker = num_data_bytes(content), zlib.decompressobj()
    try:
        for chunk in found:
            if chunk.kind == b"IDAT":
                wanted -= len(unpacker.decompress(content[chunk.start + 8 : chunk.end - 4]))
    except zlib.error:
        return wanted <= 0  # a wrong sum at the end does no harm
    return wanted <= 0


def num_data_bytes(content: bytes) -> int:
    """Bytes of all rows with their filter bytes, before packing."""
    width, height, depth, colours = struct.unpack_from(">IIBB", content, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colours, 4)
    passes = _ADAM7 if content[28] else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def without_chunks(content: bytes, kinds: Set[bytes]) -> bytes:
    """The file without the chunks of these kinds."""
    kept = [content[chunk.start : chunk.end] for chunk in chunks(content) if chunk.kind not in kinds]
    return b"".join([SIGNATURE, *kept])


def _is_whole(content: bytes, chunk: Chunk) -> bool:
    return zlib.crc32(content[chunk.start + 4 : chunk.end - 4]) == int.from_bytes(content[chunk.end - 4 : chunk.end])
