"""`ILSVRC2012_img_train.tar`: a tar of one uncompressed tar per class, read in place by offset.

Nothing is extracted: one pass over the headers finds every picture's place in the outer file. Names and order are
those of the folder tree that extracting would give, so both give the same shards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.sources.class_tars import add_class
from shards.sources.folders import class_order, ignored
from shards.sources.listing import Listing, ListingBuilder
from shards.sources.ranges import RangeReader, stamp_of
from shards.tars.scan import TarMember, scan_tar


@dataclass(frozen=True, kw_only=True)
class NestedTar:
    """A tar whose members are tars, one per class."""

    path: Path
    kind = "tar of class tars"
    is_sequential = False

    @property
    def description(self) -> str:
        """For a person."""
        return f"tar of class tars {self.path}, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """Labels are positions in the sorted list of inner tars; see `Source.scan`."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            inner = {Path(m.name).stem: m for m in scan_tar(descriptor, where=self.path) if _is_class_tar(m.name)}
            if not inner:
                raise ShardError("no class tars inside", where=self.path)
            classes, warnings = class_order(list(inner))
            builder, stamp, num_ignored = ListingBuilder(), stamp_of(self.path), 0
            for label, name in enumerate(classes):
                members = _members(descriptor, inner[name], where=f"{self.path}!{inner[name].name}")
                num_ignored += add_class(builder, members, name, label, stamp=stamp)
        finally:
            os.close(descriptor)
        if not len(builder):
            raise ShardError("no pictures in the class tars", where=self.path)
        return builder.finish(tuple(classes)), warnings + ignored(num_ignored)

    def reader(self) -> RangeReader:
        """Reads the outer file."""
        return RangeReader(containers=(self.path,))


def _is_class_tar(name: str) -> bool:
    return name.endswith(".tar") and not Path(name).name.startswith(".")


def _members(descriptor: int, tar: TarMember, *, where: str) -> Iterator[TarMember]:
    return scan_tar(descriptor, where=where, start=tar.offset, end=tar.offset + tar.size)
