"""ImageNet's kind of training archive: a tar of pictures per class, read in place by offset.

The class tars lie in one large tar, as in `ILSVRC2012_img_train.tar`, or in a folder, which is what unpacking that
archive once leaves behind. Nothing is extracted: one pass over the headers finds every picture's place. Names and order
are those of the folder tree that extracting would give, so all three give the same shards.

Folders of WebDataset tars look the same from outside, so what is in the tars decides, and their names only where that
leaves it open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from shards.errors import ShardError
from shards.host.files import opened
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
        tars = self._tars()
        return f"{len(tars)} class tars in {self.root}, {tars[0].name} first, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """Labels are positions in the sorted list of tars."""
        tars = {tar.stem: _ClassTar(tar, number) for number, tar in enumerate(self._tars())}
        classes, warnings = class_order(classes_in(self.like) if self.like else list(tars))
        if unknown := [f"{name}.tar" for name in tars if name not in set(classes)]:
            raise ShardError("classes that the training split does not have", where=self.root, found=", ".join(unknown))
        listing, more = _list_pictures(tars, classes, where=self.root)
        return listing, warnings + more

    def reader(self) -> RangeReader:
        return RangeReader(containers=self._tars())

    def _tars(self) -> tuple[Path, ...]:
        return tuple(sorted(self.root.glob("*.tar")))


@dataclass(frozen=True, kw_only=True)
class NestedTar:
    """A tar whose members are tars, one per class."""

    path: Path
    kind = "tar of class tars"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"tar of class tars {self.path}, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """Labels are positions in the sorted list of inner tars."""
        with opened(self.path) as descriptor:
            members = [m for m in scan_tar(descriptor, where=self.path) if _is_class_tar(m.name)]
        if not members:
            raise ShardError("no class tars inside", where=self.path)
        tars = {Path(m.name).stem: _ClassTar(self.path, 0, m) for m in members}
        classes, warnings = class_order(list(tars))
        listing, more = _list_pictures(tars, classes, where=self.path)
        return listing, warnings + more

    def reader(self) -> RangeReader:
        return RangeReader(containers=(self.path,))


def are_class_tars(tars: tuple[Path, ...]) -> bool:
    """Whether each of these tars holds the pictures of one class, rather than a shard of samples.

    A shard has labels or other parts beside its pictures. Tars of nothing but pictures are classes if they are named
    by WordNet ids or their pictures are named after them, shards if their names are numbered, and otherwise classes.
    """
    members = {tar: first_names(tar) for tar in {tars[number] for number in (0, len(tars) // 2, -1)}}
    if not all(is_picture(name) for names in members.values() for name in names):
        return False
    if all(_is_named_after(tar, names) for tar, names in members.items()):
        return True
    return not _are_numbered([tar.stem for tar in tars])


def first_names(tar: Path) -> list[str]:
    """Names of a tar's first few members."""
    with opened(tar) as descriptor:
        return [member.name for member in islice(scan_tar(descriptor, where=tar), FIRST_MEMBERS)]


class _ClassTar(NamedTuple):
    """Where the tar of one class is: file number `container` of the source, or a member of that file."""

    file: Path
    container: int
    inside: TarMember | None = None


def _list_pictures(tars: Mapping[str, _ClassTar], classes: list[str], *, where: Path) -> tuple[Listing, list[str]]:
    """The pictures of all classes in their order, as a folder for each would give them, and warnings."""
    builder, warnings, num_ignored = ListingBuilder(), list[str](), 0
    for label, name in enumerate(classes):
        if name in tars:  # otherwise the training split alone has it
            before = len(builder)
            num_ignored += _add_pictures(builder, tars[name], name, label)
            if len(builder) == before:
                warnings.append(f"class tar {name}.tar holds no pictures; its label {label} stays unused")
    if not len(builder):
        raise ShardError("no pictures in the class tars", where=where)
    return builder.finish(tuple(classes)), warnings + ignored(num_ignored)


def _add_pictures(builder: ListingBuilder, tar: _ClassTar, name: str, label: int) -> int:
    """Add the pictures of one class; returns how many other files were passed over."""
    file, container, inside = tar
    start, end = (inside.offset, inside.offset + inside.size) if inside else (0, None)
    with opened(file) as descriptor:
        where = f"{file}!{inside.name}" if inside else file
        members = sorted(scan_tar(descriptor, where=where, start=start, end=end))
    stamp, num_ignored = stamp_of(file), 0
    for member in members:
        path = member.name.removeprefix("./").removeprefix(f"{name}/")
        if is_visible_picture(path):
            place = {"offset": member.offset, "container": container, "stamp": stamp}
            builder.add(f"{name}/{path}", size=member.size, label=label, **place)
        else:
            num_ignored += 1
    return num_ignored


def _is_class_tar(name: str) -> bool:
    return name.endswith(".tar") and not Path(name).name.startswith(".")


def _is_named_after(tar: Path, names: list[str]) -> bool:
    is_after = bool(names) and all(name.rpartition("/")[2].startswith(f"{tar.stem}_") for name in names)
    return is_after or WORDNET_ID.fullmatch(tar.stem) is not None


def _are_numbered(stems: list[str]) -> bool:
    """Whether the names are one prefix with a number each, as those of shards are."""
    return len({stem.rstrip("0123456789") for stem in stems}) == 1 and all(stem[-1].isdigit() for stem in stems)
