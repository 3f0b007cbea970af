"""Reading a source in its own order and scattering it to one scratch file per shard.

For spinning disks, where shuffled reads cost a seek each, and for sources that only give a whole block of rows. The
scratch files hold the original bytes; the usual tasks then read from them, so the shards come out the same. A scratch
file goes as soon as its shard is finished, so the disk holds about one extra copy at most.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.building.plan import ShardPlan
from shards.building.record import BUILD_FOLDER
from shards.host.progress import Amount
from shards.sources.base import Source
from shards.sources.listing import Listing
from shards.sources.ranges import RangeReader

BUFFER_BYTES = 64 << 20
UNREADABLE = -1


@dataclass(frozen=True, kw_only=True)
class Spill:
    """Scratch files of some shards: where each row of the listing lies in its shard's file, and how long it is."""

    folder: Path
    sizes: NDArray[np.int64]  # (rows,), UNREADABLE where the source gave nothing
    offsets: NDArray[np.int64]  # (rows,)

    def path(self, shard: int) -> Path:
        """The scratch file of a shard."""
        return self.folder / f"{shard:06d}"

    def samples(self, listing: Listing, rows: NDArray[np.int64]) -> Listing:
        """These rows, with places in the scratch file."""
        taken = listing.take(rows)
        return Listing(
            names=taken.names,
            sizes=self.sizes[rows],
            labels=taken.labels,
            containers=np.zeros(len(rows), dtype=np.int32),
            offsets=self.offsets[rows],
            classes=taken.classes,
        )

    def reader(self, shard: int) -> RangeReader:
        """Reads a shard's scratch file."""
        return RangeReader(containers=(self.path(shard),))


def spill_folder(out: Path) -> Path:
    """Where the scratch files of a build lie."""
    return out / BUILD_FOLDER / "spill"


def remove_spill(out: Path) -> None:
    """Remove all scratch files."""
    shutil.rmtree(spill_folder(out), ignore_errors=True)


def write_spill(
    source: Source,
    listing: Listing,
    plan: ShardPlan,
    shards: list[int],
    out: Path,
    *,
    on_row: Callable[[Amount], None],
) -> Spill:
    """Read every row of these shards in the source's order; `on_row` is told what is read so far."""
    remove_spill(out)
    spill_folder(out).mkdir(parents=True)
    shard_of = _shard_of_row(plan, shards)
    sizes, offsets = np.full(len(listing), UNREADABLE, dtype=np.int64), np.zeros(len(listing), dtype=np.int64)
    spill = Spill(folder=spill_folder(out), sizes=sizes, offsets=offsets)
    reader, buffers, ends, total = source.reader(), defaultdict[int, list[bytes]](list), defaultdict[int, int](int), 0
    buffered = 0
    for done, row in enumerate(np.flatnonzero(shard_of >= 0).tolist(), start=1):
        try:
            content = reader.read(listing[row])
        except OSError:  # read again by the task, which reports it
            continue
        shard = int(shard_of[row])
        sizes[row], offsets[row] = len(content), ends[shard]
        ends[shard] += len(content)
        buffers[shard].append(content)
        buffered += len(content)
        total += len(content)
        if buffered >= BUFFER_BYTES:
            _flush(spill, buffers)
            buffered = 0
        on_row(Amount(total, done))
    _flush(spill, buffers)
    return spill


def _flush(spill: Spill, buffers: dict[int, list[bytes]]) -> None:
    for shard, pieces in buffers.items():
        with spill.path(shard).open("ab") as file:
            file.writelines(pieces)
    buffers.clear()


def _shard_of_row(plan: ShardPlan, shards: list[int]) -> NDArray[np.int32]:
    """(rows,) the shard of each row of the listing, -1 for shards that are not wanted."""
    shard_of = np.full(len(plan.order), -1, dtype=np.int32)
    for shard in shards:
        shard_of[plan.rows(shard)] = shard
    return shard_of
