"""One writer per folder at a time; the lock goes with the process, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shards.errors import ShardError
from shards.host.files import opened


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`. Raises `ShardError` when another process has it."""
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fix = "wait for it, or choose another output folder"
            raise ShardError("another build is writing here", where=path.parent.parent, fix=fix) from None
        yield


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder itself, which adds no file to it. Raises as `hold_lock` does."""
    with opened(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShardError("another index is being written here", where=folder, fix="wait for it") from None
        yield
