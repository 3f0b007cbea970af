"""One tar being written together with its index and checksum, then verified by reading it back."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from shards.errors import ShardError
from shards.tars import ustar
from shards.tars.index import IndexMember

WRITEBACK = 16 << 20
Member = tuple[str, bytes]  # suffix and content


class Sample(NamedTuple):
    """What one sample has in the tar, the picture first; the members that the index names, and those it does not."""

    key: str
    indexed: list[Member]
    others: list[Member]


class TarWriter:
    """Appends samples to a tar, some at a time.

    The index names a sample's picture first and its label second. `KEY.json` is left out of it: no pipeline needs the
    name to train, and a third component would add half again to the index, which DALI keeps in memory on every rank,
    and one ranged request per sample on object stores. The key, which the reader gives as source info, finds the json.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples: list[list[IndexMember]] = []
        self.num_bytes = 0
        self._num_handed_over = 0
        self._sha256 = hashlib.sha256()
        self._file = path.open("wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, samples: Sequence[Sample]) -> None:
        """Append a group of samples, a few hundred at most."""
        pieces: list[bytes] = []
        for sample in samples:
            pieces += self._pieces(sample)
        self._write(pieces)
        if self.num_bytes - self._num_handed_over >= WRITEBACK:
            self._start_writeback()

    def finish(self) -> str:
        """End the archive and flush it to disk; returns its sha256 in hex."""
        self._write([ustar.END_OF_ARCHIVE])
        self.num_bytes += len(ustar.END_OF_ARCHIVE)
        os.fsync(self._file.fileno())
        return self._sha256.hexdigest()

    def _pieces(self, sample: Sample) -> tuple[bytes, bytes, bytes]:
        """The picture's header, the picture as it is, and everything behind it."""
        key, offset, pieces, members = sample.key, self.num_bytes, list[bytes](), list[IndexMember]()
        for suffix, content in sample.indexed + sample.others:
            name, size = f"{key}.{suffix}", len(content)
            padding = ustar.padding(size)
            pieces.append(ustar.header(name.encode("ascii"), size))
            pieces.append(content)
            pieces.append(padding)
            members.append(IndexMember(suffix, offset + ustar.BLOCK, size, name))
            offset += ustar.BLOCK + size + len(padding)
        self.num_bytes = offset
        self.samples.append(members[: len(sample.indexed)])
        return pieces[0], pieces[1], b"".join(pieces[2:])

    def _start_writeback(self) -> None:
        """Let the kernel begin to write to disk, or the fsync at the end would find all of it still to be done.

        Linux takes this advice as such a request, at no cost in time; pages still to be written stay in memory.
        """
        length = self.num_bytes - self._num_handed_over
        os.posix_fadvise(self._file.fileno(), self._num_handed_over, length, os.POSIX_FADV_DONTNEED)
        self._num_handed_over += length

    def _write(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._sha256.update(piece)
        written = os.writev(self._file.fileno(), pieces)
        if written < sum(map(len, pieces)):  # as on a disk that is nearly full
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]


def verify_against_index(path: Path, samples: Sequence[Sequence[IndexMember]], *, num_bytes: int) -> None:
    """Read back every header that the index points behind, and the archive's end.

    Raises:
        ShardError: the file does not hold what was written, as happens on a full or faulty disk.
    """
    with path.open("rb") as file:
        if (found := file.seek(0, os.SEEK_END)) != num_bytes:
            raise ShardError("reads back with another size", where=path, found=found, expected=num_bytes)
        descriptor, end = file.fileno(), len(ustar.END_OF_ARCHIVE)
        for _, offset, size, name in itertools.chain.from_iterable(samples):
            if os.pread(descriptor, ustar.BLOCK, offset - ustar.BLOCK) != ustar.header(name.encode("ascii"), size):
                raise ShardError("reads back with another header", where=path, expected=name)
        if os.pread(descriptor, end, num_bytes - end) != ustar.END_OF_ARCHIVE:
            raise ShardError("reads back without its end", where=path)
