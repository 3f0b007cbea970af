"""Shards compared with the checksums of their manifest while the training goes on, by one thread per rank.

At a start only sizes and indices are compared (shards.tars.shardset), which a flipped bit survives. Every rank reads
its share of the tars: all of them with `full`, up to 1 GiB in random order with `sample`, which is all of a small set
and another part of a large one at every start.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Sequence

from shards.errors import ShardError
from shards.tars.shardset import CHANGED_FIX, Shard
from swav_dali.config.sections import Verify
from swav_dali.ranks.world import World

SAMPLE_BYTES = 2**30
_CHUNK_BYTES = 2**22


class ShardCheck:
    """Reads this rank's share of some shards in the background; to be asked between steps."""

    def __init__(self, shards: Sequence[Shard], mode: Verify, world: World) -> None:
        """Begin to read; `shards` are those of all ranks, whose tars are local files."""
        self._chosen = _choose(shards[world.rank :: world.size], mode)
        self._error: ShardError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read_all, name="shard-check", daemon=True)
        self._thread.start()

    def raise_if_changed(self) -> None:
        """Raise the ShardError of a tar that is no longer what the manifest was written for, once it is found."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until all of the share is read; raises as `raise_if_changed` does."""
        self._thread.join()
        self.raise_if_changed()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()

    def _read_all(self) -> None:
        for shard in self._chosen:
            try:
                found = self._checksum(shard)
            except OSError as error:
                self._error = ShardError("cannot be read", where=shard.tar, found=error, fix=CHANGED_FIX)
                return
            if self._stop.is_set():
                return
            if found != shard.tar_sha256:
                self._error = ShardError(
                    "its bytes have changed since the manifest was written",
                    where=shard.tar,
                    found=f"sha256 {found[:12]}...",
                    expected=f"{shard.tar_sha256[:12]}...",
                    fix=CHANGED_FIX,
                )
                return

    def _checksum(self, shard: Shard) -> str:
        digest = hashlib.sha256()
        with shard.tar.open("rb", buffering=0) as file:
            while not self._stop.is_set() and (chunk := file.read(_CHUNK_BYTES)):
                digest.update(chunk)
        return digest.hexdigest()


def _choose(shards: Sequence[Shard], mode: Verify) -> list[Shard]:
    if mode == "off":
        return []
    order = random.SystemRandom().sample(list(shards), len(shards))  # not the run's seed: each start reads others
    if mode == "full":
        return order
    chosen, num_bytes = list[Shard](), 0
    for shard in order:
        if chosen and num_bytes + shard.tar_bytes > SAMPLE_BYTES:
            break
        chosen.append(shard)
        num_bytes += shard.tar_bytes
    return chosen
