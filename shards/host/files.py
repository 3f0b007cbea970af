"""Reading files of this machine: a descriptor for the length of a block, the lines of a text, a checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shards.errors import ShardError


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read from, of a file or a folder, closed when the block is left."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> list[str]:
    """The lines of a small text. Raises `ShardError` when it is not in UTF-8."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ShardError("not a text file in UTF-8", where=path, found=f"byte {error.start}") from None


def sha256_of_file(path: Path) -> str:
    """Hexadecimal sha256 of a file, read a piece at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
