"""`ILSVRC2012_img_val.tar`: one flat tar of pictures, labelled by a devkit archive or a list of classes.

A label is the rank of the class's WordNet id among the sorted ids, as everywhere else. The devkit's own numbers are in
another order; using them raw is the classic mistake, so they always go through its meta.mat.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import ShardError, missing_package
from shards.host.files import opened, read_lines
from shards.sources.folders import ignored, is_visible_picture
from shards.sources.listing import UNLABELLED, Listing, ListingBuilder
from shards.sources.ranges import RangeReader, stamp_of
from shards.tars.scan import scan_tar

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True, kw_only=True)
class FlatTar:
    """A tar of pictures. `labels` is a devkit archive, a list of classes, or None for none.

    A list has one line per picture: `NAME CLASS`, or `CLASS` alone for the pictures in sorted order.
    """

    path: Path
    labels: Path | None = None
    kind = "tar of pictures"
    is_sequential = False

    @property
    def description(self) -> str:
        labels = f"labels from {self.labels}" if self.labels else "without labels"
        return f"tar of pictures {self.path}, {labels}, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """Sorted by name."""
        with opened(self.path) as descriptor:
            files = sorted(scan_tar(descriptor, where=self.path))
        members = [file for file in files if is_visible_picture(file.name.removeprefix("./"))]
        if not members:
            raise ShardError("no pictures inside", where=self.path, found=f"{len(files)} other files")
        names = [member.name for member in members]
        classes_of = read_labels(self.labels, names) if self.labels else [None] * len(names)
        classes = sorted({name for name in classes_of if name is not None})
        rank = {name: label for label, name in enumerate(classes)}
        builder, stamp = ListingBuilder(), stamp_of(self.path)
        for member, name in zip(members, classes_of, strict=True):
            label = UNLABELLED if name is None else rank[name]
            builder.add(member.name, size=member.size, label=label, offset=member.offset, stamp=stamp)
        return builder.finish(tuple(classes)), ignored(len(files) - len(members))

    def reader(self) -> RangeReader:
        return RangeReader(containers=(self.path,))


def read_labels(path: Path, names: list[str]) -> list[str]:
    """The class of each picture; `names` are sorted. Raises `ShardError` when the file does not fit them."""
    if not path.is_file():
        raise ShardError("no such file", where=path, expected="a devkit archive or a list of classes")
    if tarfile.is_tarfile(path):
        return _from_devkit(path, names)
    rows = [line.split() for line in read_lines(path) if line.strip()]
    if all(len(row) == 1 for row in rows):
        return _in_order(path, [row[0] for row in rows], names)
    if any(len(row) != 2 for row in rows):
        raise ShardError("not a list of classes", where=path, expected="lines of NAME CLASS, or of CLASS")
    by_name = {Path(name).stem: class_name for name, class_name in rows}
    if missing := [name for name in names if Path(name).stem not in by_name]:
        raise ShardError(f"has no class for {len(missing)} pictures", where=path, found=f"none for {missing[0]}")
    return [by_name[Path(name).stem] for name in names]


def _from_devkit(path: Path, names: list[str]) -> list[str]:
    with tarfile.open(path) as tar:
        truth, meta = (_read_member(tar, path, suffix) for suffix in (GROUND_TRUTH, "meta.mat"))
    wordnet_ids = _wordnet_ids(meta)
    return _in_order(path, [wordnet_ids[int(number)] for number in truth.split()], names)


def _in_order(path: Path, classes: list[str], names: list[str]) -> list[str]:
    if len(classes) != len(names):
        raise ShardError("does not fit the tar", where=path, found=f"{len(classes)} labels", expected=len(names))
    return classes


def _read_member(tar: tarfile.TarFile, path: Path, suffix: str) -> bytes:
    for member in tar:
        if member.name.endswith(suffix) and (file := tar.extractfile(member)) is not None:
            return file.read()
    raise ShardError(f"no {suffix} inside", where=path, expected="an ILSVRC2012 devkit archive")


def _wordnet_ids(meta: bytes) -> dict[int, str]:
    """ILSVRC2012_ID -> WordNet id, from the devkit's synset table."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise missing_package("scipy", "the devkit's meta.mat", extra="sources") from None
    synsets: Any = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    return {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets}
