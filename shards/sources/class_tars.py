"""A folder of class tars, `n01440764.tar`, `n01443537.tar`, ...: a tar of pictures per class, read in place by offset.

This is what unpacking ImageNet's training archive once leaves behind. Folders of WebDataset tars look the same from
outside, so what is in the tars decides, and their names only where that leaves it open.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from shards.errors import ShardError
from shards.sources.folders import class_order, classes_in, ignored, is_picture, is_visible_picture
from shards.sources.listing import Listing, ListingBuilder
from shards.sources.ranges import RangeReader, stamp_of
from shards.tars.scan import TarMember, scan_tar

FIRST_MEMBERS = 16  # of a tar, to tell what it is
WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True, kw_only=True)
class ClassTars:
    """The tars of one folder. `like`, if given, is the training split's folder, whose classes give the labels."""

    root: Path
    like: Path | None = None
    kind = "class tars"
    is_sequential = False

    @property
    def description(self) -> str:
        """For a person."""
        tars = self._tars()
        return f"{len(tars)} class tars in {self.root}, {tars[0].name} first, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """Labels are positions in the sorted list of tars; see `Source.scan`."""
        tars = self._tars()
        classes, warnings = class_order(classes_in(self.like) if self.like else [tar.stem for tar in tars])
        rank = {name: label for label, name in enumerate(classes)}
        if unknown := [tar.name for tar in tars if tar.stem not in rank]:
            raise ShardError("classes that the training split does not have", where=self.root, found=", ".join(unknown))
        builder, num_ignored = ListingBuilder(), 0
        for container, tar in sorted(enumerate(tars), key=lambda item: rank[item[1].stem]):
            before, label = len(builder), rank[tar.stem]
            num_ignored += _add_tar(builder, tar, label, container)
            if len(builder) == before:
                warnings.append(f"class tar {tar.name} holds no pictures; its label {label} stays unused")
        if not len(builder):
            raise ShardError("no pictures in the class tars", where=self.root)
        return builder.finish(tuple(classes)), warnings + ignored(num_ignored)

    def reader(self) -> RangeReader:
        """Reads the tars."""
        return RangeReader(containers=self._tars())

    def _tars(self) -> tuple[Path, ...]:
        return tuple(sorted(self.root.glob("*.tar")))


def are_class_tars(tars: tuple[Path, ...]) -> bool:
    """Whether each of these tars holds the pictures of one class, rather than a shard of samples.

    A shard has labels or other parts beside its pictures. Tars of nothing but pictures are classes if they are named
    by WordNet ids or their pictures are named after them, shards if their names are numbered, and otherwise classes.
    """
    looked_at = {tars[number] for number in (0, len(tars) // 2, -1)}
    members = {tar: _first_names(tar) for tar in looked_at}
    if not all(is_picture(name) for names in members.values() for name in names):
        return False
    if all(_is_named_after(tar, names) for tar, names in members.items()):
        return True
    return not _are_numbered([tar.stem for tar in tars])


def add_class(
    builder: ListingBuilder, members: Iterable[TarMember], name: str, label: int, *, stamp: int, container: int = 0
) -> int:
    """Add the pictures of one class tar as a folder of that name would give them; returns how many files were not."""
    num_ignored = 0
    for member in sorted(members):
        inside = member.name.removeprefix("./").removeprefix(f"{name}/")
        if is_visible_picture(inside):
            place = {"offset": member.offset, "container": container, "stamp": stamp}
            builder.add(f"{name}/{inside}", size=member.size, label=label, **place)
        else:
            num_ignored += 1
    return num_ignored


def _add_tar(builder: ListingBuilder, tar: Path, label: int, container: int) -> int:
    descriptor = os.open(tar, os.O_RDONLY)
    try:
        members = scan_tar(descriptor, where=tar)
        return add_class(builder, members, tar.stem, label, stamp=stamp_of(tar), container=container)
    finally:
        os.close(descriptor)


def _first_names(tar: Path) -> list[str]:
    descriptor = os.open(tar, os.O_RDONLY)
    try:
        return [member.name for member in islice(scan_tar(descriptor, where=tar), FIRST_MEMBERS)]
    finally:
        os.close(descriptor)


def _is_named_after(tar: Path, names: list[str]) -> bool:
    is_after = bool(names) and all(_base(name).startswith(f"{tar.stem}_") for name in names)
    return is_after or WORDNET_ID.fullmatch(tar.stem) is not None


def _are_numbered(stems: list[str]) -> bool:
    """Whether the names are one prefix with a number each, as those of shards are."""
    return len({stem.rstrip("0123456789") for stem in stems}) == 1 and all(stem[-1].isdigit() for stem in stems)


def _base(name: str) -> str:
    return name.rpartition("/")[2]
