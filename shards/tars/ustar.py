"""Plain ustar, written by hand: fixed owner, mode and time, so that equal input gives equal bytes.

Own header bytes because tarfile writes PAX extras for a float time and keeps a list of all members in memory.
Layout of a header: POSIX.1-1988 (ustar), 512 bytes, numbers in octal ASCII.
"""

from __future__ import annotations

import struct
from functools import lru_cache

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
MAX_NAME = 100

_MODE_OWNER = b"0000444\0" + b"0000000\0" + b"0000000\0"
_TIME = b"00000000000\0"
_MAGIC_TO_END = b"0" + bytes(100) + b"ustar\x0000" + bytes(64 + 16 + 155 + 12)
_FIELDS = struct.Struct("100s24s12s12s8s356s")  # name, _MODE_OWNER, size, _TIME, checksum, _MAGIC_TO_END
_FIXED_SUM = sum(_MODE_OWNER) + sum(_TIME) + 8 * ord(" ") + sum(_MAGIC_TO_END)
_ZEROS = bytes(BLOCK)


def header(name: bytes, size: int) -> bytes:
    """The 512 header bytes of a regular file of `size` bytes. `name` is at most 100 bytes long."""
    assert len(name) <= MAX_NAME, name
    octal_size, nameless_sum = _size_field(size)
    checksum = b"%06o\0 " % (nameless_sum + sum(name))
    return _FIELDS.pack(name, _MODE_OWNER, octal_size, _TIME, checksum, _MAGIC_TO_END)


@lru_cache(maxsize=1 << 12)  # two of a sample's three members have one of few sizes
def _size_field(size: int) -> tuple[bytes, int]:
    """The size in octal, and the header's checksum without the name."""
    octal_size = b"%011o\0" % size
    return octal_size, _FIXED_SUM + sum(octal_size)


def padding(size: int) -> bytes:
    """The zero bytes that fill a member of `size` bytes up to a whole block."""
    return _ZEROS[: -size % BLOCK]


def member_bytes(size: int) -> int:
    """Bytes that a member of `size` bytes takes in the archive: header, data, padding."""
    return BLOCK + size + -size % BLOCK
