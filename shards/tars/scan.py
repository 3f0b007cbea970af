"""Finding the members of a tar without reading their data: names, offsets and sizes, header by header.

Understands ustar, GNU long names and PAX paths, which other people's tars have. Works on a part of a file as well, so
that a tar inside a tar is read in place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from shards.errors import ShardError
from shards.tars.compressed import UNPACK, compression_of
from shards.tars.ustar import BLOCK

_REGULAR = (b"0", b"\0", b"7")
_LONG_NAME, _PAX, _PAX_GLOBAL = b"L", b"x", b"g"


class TarMember(NamedTuple):
    """A regular file of a tar. `offset` is where its data start, from the beginning of the scanned file."""

    name: str
    offset: int
    size: int


def scan_tar(descriptor: int, *, where: object, start: int = 0, end: int | None = None) -> Iterator[TarMember]:
    """Yield the regular files of the tar in bytes [start, end) of an open file.

    Raises:
        ShardError: a header is damaged, or the archive ends in the middle of a header or a member.
    """
    end = os.fstat(descriptor).st_size if end is None else end
    position, long_name = start, None
    while position + BLOCK <= end:
        head = os.pread(descriptor, BLOCK, position)
        if head == bytes(BLOCK):
            return
        size, kind, data = _checked_size(head, position, where), head[156:157], position + BLOCK
        if data + size > end:
            cut = f"{end - data} of {size} bytes"
            raise ShardError("tar ends in the middle of a member", where=where, found=cut, fix="fetch the file again")
        if kind in (_LONG_NAME, _PAX):
            long_name = _long_name(os.pread(descriptor, size, data), kind) or long_name
        elif kind in _REGULAR:
            yield TarMember(long_name or _short_name(head), data, size)
        if kind not in (_LONG_NAME, _PAX, _PAX_GLOBAL):
            long_name = None
        position = data + size + -size % BLOCK
    if position < end:
        cut = f"{end - position} of {BLOCK} bytes"
        raise ShardError("tar ends in the middle of a header", where=where, found=cut, fix="fetch the file again")


def _checked_size(head: bytes, position: int, where: object) -> int:
    expected = sum(head) - sum(head[148:156]) + 8 * ord(" ")
    try:
        if int(head[148:156].strip(b" \0") or b"0", 8) == expected:
            return (
                int.from_bytes(head[125:136], "big")
                if head[124] & 0x80
                else int(head[124:136].strip(b" \0") or b"0", 8)
            )
    except ValueError:
        pass
    if compression := compression_of(head):
        raise ShardError(f"compressed with {compression}", where=where, fix=UNPACK)
    raise ShardError("damaged tar header", where=f"{where} at byte {position}", found=head[:16])


def _short_name(head: bytes) -> str:
    name, prefix = head[:100].rstrip(b"\0"), head[345:500].rstrip(b"\0")
    full = prefix + b"/" + name if prefix and head[257:262] == b"ustar" and head[262:263] == b"\0" else name
    return full.decode("utf-8", "surrogateescape")


def _long_name(data: bytes, kind: bytes) -> str | None:
    if kind == _LONG_NAME:
        return data.rstrip(b"\0").decode("utf-8", "surrogateescape")
    match = re.search(rb"\d+ path=([^\n]*)\n", data)
    return match.group(1).decode("utf-8", "surrogateescape") if match else None
