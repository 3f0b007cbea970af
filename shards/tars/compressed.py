"""Archives that cannot be read in place, told by their first bytes and said with what to do."""

from __future__ import annotations

import os
from pathlib import Path

from shards.errors import ShardError
from shards.host.files import opened

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"Rar!": "rar",
    b"7z\xbc\xaf\x27\x1c": "7z",
}
COMPRESSED_SUFFIXES = frozenset({".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".rar", ".7z"})
UNPACK = "unpack it to a folder or a plain tar, which can be read in place"


def compression_of(head: bytes) -> str | None:
    """The kind of compression that a file with these first bytes has, or None for none that is known."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def refuse_compressed(path: Path) -> None:
    """Raise `ShardError` for a file that must be unpacked first."""
    with opened(path) as descriptor:
        head = os.pread(descriptor, 8, 0)
    if kind := compression_of(head):
        raise ShardError(f"compressed with {kind}", where=path, fix=UNPACK)
