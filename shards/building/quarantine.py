"""Where pictures go that do not enter the shards: the original bytes, in a folder beside them."""

from __future__ import annotations

import re
from pathlib import Path

from shards.host.atomic import write_whole

FOLDER = "quarantine"


def quarantine(out: Path, key: str, name: str, content: bytes) -> None:
    """Keep a copy of a left-out picture as KEY_NAME, so that a person can look at it."""
    if content:
        folder = out / FOLDER
        folder.mkdir(exist_ok=True)
        write_whole(folder / file_name(key, name), content)


def file_name(key: str, name: str) -> str:
    """File name of a quarantined picture: its key and the end of its original name, in plain characters."""
    return f"{key}_{re.sub(r'[^A-Za-z0-9._-]', '_', name.rpartition('/')[2])[-80:]}"


def tidy(out: Path, names: set[str]) -> None:
    """Remove quarantined files of earlier builds, all but those named."""
    folder = out / FOLDER
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
