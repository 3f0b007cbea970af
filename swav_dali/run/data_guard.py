"""Shards that change under a run: seen before a checkpoint is written, so that none holds what they taught.

The start compares sizes with the manifest; DALI opens the tars again and again and reads what it finds. Looking at
size, time and inode costs a microsecond a file on a local disk; only a file that differs in these is read and compared
with its checksum, so that shards may be put back or staged anew under a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from shards.tars.shardset import Shard
from swav_dali.errors import TrainingError

_Look = tuple[int, int, int]


class DataGuard:
    """Remembers what the tars of a run look like."""

    def __init__(self, shards: Sequence[Shard] = ()) -> None:
        """Look at every tar once; no shards is a guard that never complains."""
        self._shards = list(shards)
        self._looks = [_look(shard.tar) for shard in self._shards]

    def check(self) -> None:
        """Look again.

        Raises:
            TrainingError: a tar has gone, or no longer holds the bytes of the manifest.
        """
        for place, shard in enumerate(self._shards):
            look = _look(shard.tar)
            if look == self._looks[place]:
                continue
            if look is None or look[0] != shard.tar_bytes or _sha256(shard.tar) != shard.tar_sha256:
                raise TrainingError(
                    "the shard has changed since the run began" if look else "the shard has gone since the run began",
                    where=shard.tar,
                    fix="put it back and start again: the newest checkpoint is from before",
                )
            self._looks[place] = look


def _look(path: Path) -> _Look | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
