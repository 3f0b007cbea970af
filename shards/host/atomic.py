"""Files that appear whole or not at all: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from shards.host.files import opened

TEMPORARY = ".tmp-"


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that no other process uses, on this machine or another one."""
    return path.with_name(f"{path.name}{TEMPORARY}{socket.gethostname()}-{os.getpid()}")


def remove_temporaries(folder: Path, *patterns: str) -> None:
    """Remove what killed writers of files of these names left in `folder`. Nobody may be writing them now."""
    for pattern in patterns:
        for path in folder.glob(f"{pattern}{TEMPORARY}*"):
            path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, temporary: Path | None = None) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part."""
    temporary = temporary or temporary_beside(path)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that renames survive a power cut."""
    with opened(folder) as descriptor:
        os.fsync(descriptor)
