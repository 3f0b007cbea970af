"""What a source holds, in columns: name, size, label, place and stamp of every sample.

Columns instead of objects, because a listing of 14 million samples has to fit beside its plan in a few GiB: a sample
costs 40 bytes plus its name. A `Listing` is also the unit that travels to a worker: the rows of one shard.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1
MAX_LABEL = 10_000_000  # a larger one is damage; every class up to the highest label gets a name
NAMES_AT_A_TIME = 1 << 16  # rows whose bytes are gathered by one index array, of 8 bytes per letter


class SampleRef(NamedTuple):
    """One sample of a source.

    `container` and `offset` say where its bytes are in the way that the source's reader understands. `size` is in
    bytes; where only reading tells, it is minus an estimate.
    """

    name: str
    size: int
    label: int
    container: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class Names:
    """A column of names as one UTF-8 blob; row i is blob[starts[i] : starts[i + 1]]."""

    blob: bytes
    starts: NDArray[np.int64]  # (rows + 1,)

    def __getitem__(self, row: int) -> str:
        return self.blob[self.starts[row] : self.starts[row + 1]].decode("utf-8", "surrogateescape")

    def take(self, rows: NDArray[np.int64]) -> Names:
        """The names of some rows, in the order asked for."""
        blob = np.frombuffer(self.blob, dtype=np.uint8)
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(self.starts[rows + 1] - self.starts[rows], out=starts[1:])
        pieces = []
        for first in range(0, len(rows), NAMES_AT_A_TIME):
            some = rows[first : first + NAMES_AT_A_TIME]
            ends = starts[first : first + len(some) + 1]
            shifts = np.repeat(self.starts[some] - ends[:-1], np.diff(ends))
            pieces.append(blob[shifts + np.arange(ends[0], ends[-1])].tobytes())
        return Names(blob=b"".join(pieces), starts=starts)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every sample of a source, in the source's own order. All columns have one row per sample.

    A stamp is any number that differs when the bytes at the sample's place have been replaced, such as the time of
    the last change in nanoseconds; 0 where the source knows none. Only resuming looks at stamps: rows on their way to
    a worker may be without.
    """

    names: Names
    sizes: NDArray[np.int64]
    labels: NDArray[np.int32]  # UNLABELLED where there is none
    containers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    classes: tuple[str, ...]
    stamps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[SampleRef]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> SampleRef:
        return SampleRef(
            self.names[row],
            int(self.sizes[row]),
            int(self.labels[row]),
            int(self.containers[row]),
            int(self.offsets[row]),
        )

    def take(self, rows: NDArray[np.int64]) -> Listing:
        """Some rows, in the order asked for."""
        return Listing(
            names=self.names.take(rows),
            sizes=self.sizes[rows],
            labels=self.labels[rows],
            containers=self.containers[rows],
            offsets=self.offsets[rows],
            classes=self.classes,
            stamps=self.stamps[rows] if len(self.stamps) else self.stamps,
        )

    @property
    def num_bytes(self) -> int:
        """Bytes that the columns occupy."""
        columns = (self.names.starts, self.sizes, self.labels, self.containers, self.offsets, self.stamps)
        return len(self.names.blob) + sum(column.nbytes for column in columns)


class ListingBuilder:
    """Collects samples row by row into compact arrays."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._starts = array("q", [0])
        self._sizes, self._labels = array("q"), array("i")
        self._containers, self._offsets, self._stamps = array("i"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(
        self, name: str, *, size: int, label: int = UNLABELLED, container: int = 0, offset: int = 0, stamp: int = 0
    ) -> None:
        """Append one sample; see `SampleRef` and `Listing` for the fields."""
        self._blob += name.encode("utf-8", "surrogateescape")
        self._starts.append(len(self._blob))
        self._sizes.append(size)
        self._labels.append(label)
        self._containers.append(container)
        self._offsets.append(offset)
        self._stamps.append(stamp)

    def finish(self, classes: tuple[str, ...] = ()) -> Listing:
        """The listing of everything added. `classes` are the names that labels count from 0.

        The columns are views of the builder's arrays, not copies, so nothing can be added afterwards.
        """
        return Listing(
            names=Names(blob=bytes(self._blob), starts=np.frombuffer(self._starts, dtype=np.int64)),
            sizes=np.frombuffer(self._sizes, dtype=np.int64),
            labels=np.frombuffer(self._labels, dtype=np.int32),
            containers=np.frombuffer(self._containers, dtype=np.int32),
            offsets=np.frombuffer(self._offsets, dtype=np.int64),
            classes=classes,
            stamps=np.frombuffer(self._stamps, dtype=np.int64),
        )
