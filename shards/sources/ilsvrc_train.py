"""`ILSVRC2012_img_train.tar`: a tar of one uncompressed tar per class, read in place by offset.

Nothing is extracted: one pass over the headers finds every picture's place in the outer file. Names and order are
those of the folder tree that extracting would give, so both give the same shards.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.listing import Listing, ListingBuilder
from shards.sources.folders import class_order
from shards.sources.ranges import RangeReader
from shards.tar_scan import TarMember, scan_tar


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
            inner = {Path(m.name).stem: m for m in scan_tar(descriptor, where=self.path) if m.name.endswith(".tar")}
            if not inner:
                raise ShardError("no class tars inside", where=self.path)
            classes, warnings = class_order(list(inner))
            builder = ListingBuilder()
            for label, name in enumerate(classes):
                _add_class(builder, descriptor, inner[name], name, label, where=f"{self.path}!{inner[name].name}")
        finally:
            os.close(descriptor)
        return builder.finish(tuple(classes)), warnings

    def reader(self) -> RangeReader:
        """Reads the outer file."""
        return RangeReader(containers=(self.path,))


def _add_class(builder: ListingBuilder, descriptor: int, tar: TarMember, name: str, label: int, *, where: str) -> None:
    members = scan_tar(descriptor, where=where, start=tar.offset, end=tar.offset + tar.size)
    for member in sorted(members):
        builder.add(f"{name}/{member.name}", size=member.size, label=label, offset=member.offset)
