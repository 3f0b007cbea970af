"""Existing WebDataset tars, written by any tool: read in place, to be shuffled again and written anew.

Class names are only known when the folder has our manifest; numbers stand in for them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.host.files import opened
from shards.sources.listing import UNLABELLED, Listing, ListingBuilder
from shards.sources.ranges import RangeReader, stamp_of
from shards.sources.tar_samples import (
    LabelField,
    Remarks,
    explain_suffixes,
    label_part,
    pictures_in,
    read_label,
    samples_of,
)
from shards.tars.manifest import read_manifest
from shards.tars.scan import TarMember, scan_tar


@dataclass(frozen=True, kw_only=True)
class WebDatasetTars:
    """Tars of one folder, in order. `label_field` says where labels are, None looks for `cls` members."""

    tars: tuple[Path, ...]
    label_field: LabelField | None = None
    kind = "WebDataset tars"
    is_sequential = False

    @property
    def description(self) -> str:
        """For a person."""
        return f"{len(self.tars)} WebDataset tars in {self.tars[0].parent}, {self.tars[0].name} first, read in place"

    def scan(self) -> tuple[Listing, list[str]]:
        """In the order of tars and samples; see `Source.scan`."""
        builder, labels, remarks = ListingBuilder(), set[int](), Remarks.none()
        for container, tar in enumerate(self.tars):
            stamp = stamp_of(tar)
            for key, picture, label in read_samples(tar, self.label_field, remarks):
                labels.add(label)
                suffix = picture.name.rpartition(".")[2]
                name = f"{tar.stem}/{key}.{suffix}"
                place = {"container": container, "offset": picture.offset, "stamp": stamp}
                builder.add(name, size=picture.size, label=label, **place)
        if not len(builder):
            found = explain_suffixes(remarks.without_picture)
            raise ShardError("no samples with a picture", where=self.tars[0].parent, found=found)
        remarks.check_field(self.label_field, is_labelled=max(labels) >= 0)
        return builder.finish(self._classes(labels)), remarks.lines(is_labelled=max(labels) >= 0)

    def reader(self) -> RangeReader:
        """Reads the tars."""
        return RangeReader(containers=self.tars)

    def _classes(self, labels: set[int]) -> tuple[str, ...]:
        manifest = read_manifest(self.tars[0].parent)
        if manifest is not None:
            return manifest.classes
        return tuple(str(label) for label in range(max(labels) + 1)) if max(labels) >= 0 else ()


def read_samples(tar: Path, field: LabelField | None, remarks: Remarks) -> Iterator[tuple[str, TarMember, int]]:
    """(key, picture, label) of every sample that has a picture; what is odd about them goes into `remarks`."""
    with opened(tar) as descriptor:
        for key, parts in samples_of(scan_tar(descriptor, where=tar)):
            remarks.see(descriptor, (key, parts), where=tar)
            if not (pictures := pictures_in(parts)):
                continue
            found = label_part(parts, field)
            label = UNLABELLED if found is None else read_label(descriptor, found[1], field, where=tar)
            yield key, pictures[0][1], label
