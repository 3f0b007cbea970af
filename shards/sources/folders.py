"""Pictures as files: a tree of class folders in ImageFolder's order, or a flat folder without labels.

Only names decide here whether a file is a picture; what its bytes are is found out when it is read. Hidden files and
folders are skipped.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.sources.listing import UNLABELLED, Listing, ListingBuilder, SampleRef
from shards.tars.compressed import COMPRESSED_SUFFIXES, UNPACK

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)
CHUNK = 1 << 20
LAYOUT_FIX = "--layout classes takes every folder for a class, --layout flat takes all pictures without labels"


@dataclass(frozen=True, kw_only=True)
class FileReader:
    """Reads samples that are files below `root`."""

    root: Path

    def read(self, sample: SampleRef) -> bytes:
        """The file's bytes. Opened without a file object, which costs as much again as the reading."""
        descriptor = os.open(f"{self.root}/{sample.name}", os.O_RDONLY)
        try:
            content = os.read(descriptor, max(sample.size, 0) + 1)
            if len(content) == sample.size:  # one byte more was asked for, so this is the end
                return content
            return content + b"".join(iter(lambda: os.read(descriptor, CHUNK), b""))
        finally:
            os.close(descriptor)


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """A folder whose subfolders are classes.

    `like`, if given, is another such folder whose classes give the labels, as a training split does for its
    validation split.
    """

    root: Path
    like: Path | None = None
    kind = "class folders"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"class folders in {self.root}"

    def scan(self) -> tuple[Listing, list[str]]:
        """Labels are positions in the sorted list of class folders."""
        classes, warnings = class_order(classes_in(self.like or self.root))
        if unknown := sorted(set(subfolders(self.root)) - set(classes)):
            raise ShardError("classes that the training split does not have", where=self.root, found=", ".join(unknown))
        builder, num_ignored = ListingBuilder(), 0
        for label, name in enumerate(classes):
            before = len(builder)
            num_ignored += _add_files(builder, self.root, name, label)
            if len(builder) == before:
                warnings.append(f"class folder {name!r} holds no pictures; its label {label} stays unused")
        if not len(builder):
            raise _no_pictures(self.root)
        return builder.finish(tuple(classes)), warnings + ignored(num_ignored)

    def reader(self) -> FileReader:
        return FileReader(root=self.root)


@dataclass(frozen=True, kw_only=True)
class FlatFolder:
    """A folder of pictures without labels; subfolders, if any, are searched too."""

    root: Path
    kind = "flat folder"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"pictures without labels in {self.root}"

    def scan(self) -> tuple[Listing, list[str]]:
        """Sorted by name."""
        builder = ListingBuilder()
        num_ignored = _add_files(builder, self.root, "", UNLABELLED)
        if not len(builder):
            raise _no_pictures(self.root)
        return builder.finish(), ignored(num_ignored)

    def reader(self) -> FileReader:
        return FileReader(root=self.root)


def subfolders(root: Path) -> list[str]:
    """Names of the folders directly in `root`, hidden ones left out, in no order."""
    with os.scandir(root) as entries:
        return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def classes_in(root: Path) -> list[str]:
    """Names of the classes that `root` has folders for, or tars where there are no folders; in no order."""
    return subfolders(root) or [tar.stem for tar in root.glob("*.tar")]


def class_order(names: list[str]) -> tuple[list[str], list[str]]:
    """Class names in label order, and warnings.

    The order is that of sorted strings, as torchvision's ImageFolder has it, except that names which are all whole
    numbers are sorted as numbers: otherwise folder 10 would get label 2.
    """
    if names and all(name.isascii() and name.isdigit() for name in names):
        ordered = sorted(names, key=lambda name: (int(name), name))
        if ordered != sorted(names):
            return ordered, ["class folders are numbers: sorted as numbers, where ImageFolder would sort 10 before 2"]
    return sorted(names), []


def num_pictures_in(folder: Path) -> int:
    """How many files named like pictures lie right in `folder`."""
    with os.scandir(folder) as entries:
        return sum(is_visible_picture(entry.name) and entry.is_file() for entry in entries)


def has_pictures(folder: Path) -> bool:
    """Whether a file named like a picture is somewhere in `folder`."""
    return next((True for _, name in _walk(folder) if is_picture(name)), False)


def _add_files(builder: ListingBuilder, root: Path, inside: str, label: int) -> int:
    """Add the pictures below root/inside; returns how many other files were passed over."""
    num_ignored, known, prefix = 0, "", ""
    for folder, name in _walk(root / inside):
        if not is_picture(name):
            num_ignored += 1
            continue
        if folder != known:
            known, prefix = folder, _below(root, folder)
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116 - millions of times
        except OSError:  # as of a link that leads nowhere; reading it will say so, and the policy what to do
            builder.add(f"{prefix}{name}", size=0, label=label)
            continue
        if stat.S_ISREG(status.st_mode):
            builder.add(f"{prefix}{name}", size=status.st_size, label=label, stamp=status.st_mtime_ns)
        else:  # a pipe would be waited for
            num_ignored += 1
    return num_ignored


def _below(root: Path, folder: str) -> str:
    """What stands before the names of a folder's files, from `root` on."""
    relative = os.path.relpath(folder, root)
    return "" if relative == os.curdir else f"{relative}/"


def _walk(top: Path) -> Iterator[tuple[str, str]]:
    """(folder, file name) of all files below, folders in sorted order and files sorted within them."""
    for folder, inner, names in os.walk(top, followlinks=True, onerror=_raise):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in inner:
            _check_link(Path(folder), Path(folder, name))
        yield from ((folder, name) for name in sorted(names) if not name.startswith("."))


def _raise(error: OSError) -> None:
    """Without this a folder that cannot be read would count as empty. One that is not there does."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _check_link(folder: Path, inner: Path) -> None:
    if inner.is_symlink() and folder.resolve().is_relative_to(inner.resolve()):
        raise ShardError("a link that leads back to a folder above it", where=inner, fix="remove it")


def is_picture(name: str) -> bool:
    """Whether a file is named like a picture."""
    return name[name.rfind(".") :].lower() in SUFFIXES


def is_visible_picture(path: str) -> bool:
    """Whether a file is named like a picture and neither it nor a folder above it is hidden."""
    return is_picture(path) and not path.startswith(".") and "/." not in path


def _no_pictures(root: Path) -> ShardError:
    names = [name for _, name in zip(range(3), (name for _, name in _walk(root)), strict=False)]
    found = ", ".join(sorted(set(names))) or "nothing"
    if any(Path(name).suffix in COMPRESSED_SUFFIXES for name in names):
        return ShardError("no pictures", where=root, found=found, fix=UNPACK)
    return ShardError("no pictures", where=root, found=found, expected=f"files ending in {' '.join(sorted(SUFFIXES))}")


def ignored(num_ignored: int) -> list[str]:
    """The warning about files passed over, if there were any."""
    return [f"{num_ignored} files are not named like pictures and were passed over"] if num_ignored else []
