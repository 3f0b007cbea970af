"""One tar being written together with its index and checksum, then verified by reading it back."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shards import ustar
from shards.errors import ShardError
from shards.index import IndexMember

BUFFER = 1 << 20
WRITEBACK = 16 << 20


class TarFile:
    """Appends samples to a tar.

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
        self._file = path.open("wb", buffering=BUFFER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, key: str, members: Sequence[tuple[str, bytes]], *, num_indexed: int) -> None:
        """Append one sample of (suffix, content) members, of which the first `num_indexed` go into the index.

        The first member is the picture: it is hashed and written as it is, the small ones behind it in one piece.
        """
        offset, pieces, indexed = self.num_bytes, list[bytes](), []
        for suffix, content in members:
            name, size = f"{key}.{suffix}", len(content)
            pieces += (ustar.header(name.encode("ascii"), size), content, ustar.padding(size))
            indexed.append(IndexMember(suffix, offset + ustar.BLOCK, size, name))
            offset += ustar.member_bytes(size)
        header, picture, *rest = pieces
        for piece in (header, picture, b"".join(rest)):
            self._write(piece)
        self.samples.append(indexed[:num_indexed])
        if self.num_bytes - self._num_handed_over >= WRITEBACK:
            self._start_writeback()

    def finish(self) -> str:
        """End the archive and flush it to disk; returns its sha256 in hex."""
        self._write(ustar.END_OF_ARCHIVE)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._sha256.hexdigest()

    def _start_writeback(self) -> None:
        """Let the kernel begin to write to disk, or the fsync at the end would find all of it still to be done.

        Linux takes this advice as such a request, at no cost in time; pages still to be written stay in memory.
        """
        length = self.num_bytes - self._num_handed_over
        os.posix_fadvise(self._file.fileno(), self._num_handed_over, length, os.POSIX_FADV_DONTNEED)
        self._num_handed_over += length

    def _write(self, content: bytes) -> None:
        self._sha256.update(content)
        self._file.write(content)
        self.num_bytes += len(content)


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
