"""Small text files that a user writes: lines of UTF-8."""

from __future__ import annotations

from pathlib import Path

from shards.errors import ShardError


def read_lines(path: Path) -> list[str]:
    """The file's lines. Raises `ShardError` when it is not text."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ShardError("not a text file in UTF-8", where=path, found=f"byte {error.start}") from None
