"""Existing WebDataset tars, written by any tool: read in place, to be shuffled again and written anew.

A sample is a run of adjacent members with the same key, the name up to the first dot after the last slash. Labels are
the `cls` members; class names are only known when the folder has our manifest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from shards.errors import ShardError
from shards.host.files import opened
from shards.pictures.sniff import named_suffix
from shards.sources.folders import SUFFIXES
from shards.sources.listing import MAX_LABEL, UNLABELLED, Listing, ListingBuilder
from shards.sources.ranges import RangeReader, stamp_of
from shards.tars.index import IndexMember
from shards.tars.manifest import read_manifest
from shards.tars.scan import TarMember, scan_tar

LABEL = "cls"
LONGEST_LABEL = 20  # bytes


@dataclass(frozen=True, kw_only=True)
class WebDatasetTars:
    """Tars of one folder, in order."""

    tars: tuple[Path, ...]
    kind = "WebDataset tars"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"{len(self.tars)} WebDataset tars in {self.tars[0].parent}, {self.tars[0].name} first, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """In the order of tars and samples."""
        builder, labels, others = ListingBuilder(), set[int](), Counter[str]()
        for container, tar in enumerate(self.tars):
            stamp = stamp_of(tar)
            for key, picture, label in read_samples(tar, others):
                labels.add(label)
                suffix = picture.name.rpartition(".")[2]
                name = f"{tar.stem}/{key}.{suffix}"
                place = {"container": container, "offset": picture.offset, "stamp": stamp}
                builder.add(name, size=picture.size, label=label, **place)
        if not len(builder):
            raise ShardError("no samples with a picture", where=self.tars[0].parent, found=explain_suffixes(others))
        return builder.finish(self._classes(labels)), _partial_warning(others) + _unlabelled_warning(labels)

    def reader(self) -> RangeReader:
        return RangeReader(containers=self.tars)

    def _classes(self, labels: set[int]) -> tuple[str, ...]:
        manifest = read_manifest(self.tars[0].parent)
        if manifest is not None:
            return manifest.classes
        return tuple(str(label) for label in range(max(labels) + 1)) if max(labels) >= 0 else ()


def read_samples(tar: Path, others: Counter[str]) -> Iterator[tuple[str, TarMember, int]]:
    """(key, picture, label) of every sample; suffixes of samples without a picture are counted in `others`."""
    with opened(tar) as descriptor:
        for key, parts in samples_of(scan_tar(descriptor, where=tar)):
            pictures = [part for suffix, part in parts if is_picture_suffix(suffix)]
            if not pictures:
                others.update(suffix for suffix, _ in parts)
                continue
            label = next((part for suffix, part in parts if suffix.lower() == LABEL), None)
            yield key, pictures[0], UNLABELLED if label is None else read_label(descriptor, label, tar)


def samples_of(members: Iterator[TarMember]) -> Iterator[tuple[str, list[tuple[str, TarMember]]]]:
    """(key, [(suffix, member)]) of every run of members with the same key. Names without a key are passed over."""
    split = ((*split_name(member.name), member) for member in members)
    named = ((key, suffix, member) for key, suffix, member in split if key and suffix)
    for key, group in groupby(named, key=lambda item: item[0]):
        yield key, [(suffix, member) for _, suffix, member in group]


def split_name(name: str) -> tuple[str, str]:
    """(key, suffix) at the first dot after the last slash; both empty where webdataset would drop the member."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return (f"{folder}{slash}{stem}", suffix) if dot and stem else ("", "")


def is_picture_suffix(suffix: str) -> bool:
    """Whether a member's suffix, which may hold dots, ends like a picture's."""
    return f".{named_suffix(f'x.{suffix}')}" in SUFFIXES


def explain_suffixes(others: Counter[str]) -> str:
    """The suffixes that are there instead, for a person."""
    return ", ".join(f".{suffix} ({count}x)" for suffix, count in others.most_common(5)) or "no samples at all"


def read_label(descriptor: int, member: TarMember | IndexMember, tar: Path) -> int:
    """The class number that a member holds. Raises `ShardError` when it holds anything else."""
    text = os.pread(descriptor, min(member.size, LONGEST_LABEL), member.offset)
    if text.strip().isdigit() and int(text) <= MAX_LABEL:
        return int(text)
    expected = f"ASCII digits, 0 to {MAX_LABEL:,}"
    raise ShardError("a label is not a number of a class", where=f"{tar}!{member.name}", found=text, expected=expected)


def _unlabelled_warning(labels: set[int]) -> list[str]:
    return [f"no sample has a .{LABEL} member: taken for pictures without labels"] if max(labels) < 0 else []


def _partial_warning(others: Counter[str]) -> list[str]:
    return [f"samples without a picture were passed over; they have {explain_suffixes(others)}"] if others else []
