"""Samples that are byte ranges of large files, such as the members of a tar: read in place by offset."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from shards.sources.listing import SampleRef

MAX_OPEN = 512  # a process may have 1024 by default, and ImageNet has 1000 class tars


def stamp_of(container: Path) -> int:
    """The stamp of all samples in a file; see `Listing`. Nanoseconds of its last change."""
    return container.stat().st_mtime_ns


@dataclass(frozen=True, kw_only=True)
class RangeReader:
    """Reads [offset, offset + size) of `containers[sample.container]`; the last `MAX_OPEN` files stay open."""

    containers: tuple[Path, ...]
    _open: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def read(self, sample: SampleRef) -> bytes:
        if sample.size < 0:
            raise OSError("the source did not give its bytes when it was read in order")
        descriptor = self._descriptor(sample.container)
        content = os.pread(descriptor, sample.size, sample.offset)
        if len(content) != sample.size:
            raise OSError(f"{self.containers[sample.container]} ends before byte {sample.offset + sample.size}")
        return content

    def _descriptor(self, container: int) -> int:
        descriptor = self._open.get(container)
        if descriptor is None:
            if len(self._open) >= MAX_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            descriptor = self._open[container] = os.open(self.containers[container], os.O_RDONLY)
        return descriptor

    def __getstate__(self) -> dict[str, object]:
        return {"containers": self.containers, "_open": {}}

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
