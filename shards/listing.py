"""What a source holds, in columns: name, size, label and place of every sample.

Columns instead of objects, because a listing of 14 million samples has to fit beside its plan in a few GiB: a sample
costs 28 bytes plus its name. A `Listing` is also the unit that travels to a worker: the rows of one shard.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1


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
        pieces = [self.blob[self.starts[row] : self.starts[row + 1]] for row in rows.tolist()]
        lengths = np.fromiter((len(piece) for piece in pieces), dtype=np.int64, count=len(pieces))
        return Names(blob=b"".join(pieces), starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every sample of a source, in the source's own order. All columns have one row per sample."""

    names: Names
    sizes: NDArray[np.int64]
    labels: NDArray[np.int32]  # UNLABELLED where there is none
    containers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    classes: tuple[str, ...]

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
        )

    @property
    def num_bytes(self) -> int:
        """Bytes that the columns occupy."""
        columns = (self.names.starts, self.sizes, self.labels, self.containers, self.offsets)
        return len(self.names.blob) + sum(column.nbytes for column in columns)


class ListingBuilder:
    """Collects samples row by row into compact arrays."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._starts = array("q", [0])
        self._sizes, self._labels = array("q"), array("i")
        self._containers, self._offsets = array("i"), array("q")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, name: str, *, size: int, label: int = UNLABELLED, container: int = 0, offset: int = 0) -> None:
        """Append one sample; see `SampleRef` for the fields."""
        self._blob += name.encode("utf-8", "surrogateescape")
        self._starts.append(len(self._blob))
        self._sizes.append(size)
        self._labels.append(label)
        self._containers.append(container)
        self._offsets.append(offset)

    def finish(self, classes: tuple[str, ...] = ()) -> Listing:
        """The listing of everything added. `classes` are the names that labels count from 0."""
        return Listing(
            names=Names(blob=bytes(self._blob), starts=np.array(self._starts, dtype=np.int64)),
            sizes=np.array(self._sizes, dtype=np.int64),
            labels=np.array(self._labels, dtype=np.int32),
            containers=np.array(self._containers, dtype=np.int32),
            offsets=np.array(self._offsets, dtype=np.int64),
            classes=classes,
        )
