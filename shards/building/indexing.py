"""Serving existing tars as they are: an index beside each and a manifest, without copying a byte.

The index is the gate: it names only samples whose picture decodes, so what a policy cannot mend in place is left out
by not being named.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from shards.building.judge import Event
from shards.building.report import DROPPED, ERRORS_NAME, write_errors
from shards.errors import ShardError
from shards.host.atomic import TEMPORARY, remove_temporaries, write_whole
from shards.host.files import opened, sha256_of_file
from shards.host.lock import hold_folder
from shards.pictures.inspect import inspect
from shards.pictures.troubles import Trouble
from shards.sources.webdataset import LABEL, is_picture_suffix, read_label, samples_of
from shards.tars.index import IndexMember, format_index
from shards.tars.manifest import MANIFEST_NAME, Manifest, ShardEntry, sha256_of
from shards.tars.scan import TarMember, scan_tar

HARMLESS = frozenset({Trouble.MISNAMED, Trouble.ROTATED, Trouble.CMYK, Trouble.SIXTEEN_BIT, Trouble.BAD_METADATA})
IN_PLACE = "indexed in place"  # what the manifest says of the source


@dataclass(frozen=True, kw_only=True)
class IndexedTar:
    """A tar with its new index, what was left out, and the highest label."""

    entry: ShardEntry
    events: list[Event]
    highest_label: int
    num_unlabelled: int


def pending_index(tar: Path) -> Path:
    """Where the index of a tar waits until those of all others are known to be good as well."""
    return tar.with_suffix(f".idx{TEMPORARY}pending")


def index_tar(tar: Path) -> IndexedTar:
    """Write the pending index of one tar."""
    samples: list[list[IndexMember]] = []
    events: list[Event] = []
    labels: list[int] = []
    with opened(tar) as descriptor:
        for key, parts in samples_of(scan_tar(descriptor, where=tar)):
            members = _members(key, parts)
            if not members:
                continue
            if (event := _trouble(descriptor, tar, key, members[0])) is not None:
                events.append(event)
                continue
            samples.append(members)
            labels += [read_label(descriptor, member, tar) for member in members[1:]]
    index = format_index(samples)
    write_whole(pending_index(tar), index)
    entry = ShardEntry(
        tar=tar.name,
        idx=tar.with_suffix(".idx").name,
        num_samples=len(samples),
        tar_bytes=tar.stat().st_size,
        tar_sha256=sha256_of_file(tar),
        idx_sha256=sha256_of(index),
    )
    unlabelled = len(samples) - len(labels)
    return IndexedTar(entry=entry, events=events, highest_label=max(labels, default=-1), num_unlabelled=unlabelled)


def index_folder(root: Path, executor: Executor, *, classes: tuple[str, ...] = ()) -> Manifest:
    """Index every tar of a folder and write its manifest. A folder that is refused stays as it is.

    Raises:
        ShardError: no tars, another index is being written here, no usable sample, or labels on some samples only.
    """
    if not root.is_dir():
        raise ShardError("no such folder", where=root)
    tars = sorted(tar for tar in root.glob("*.tar") if tar.is_file())
    if not tars:
        raise ShardError("no tars to index", where=root)
    with hold_folder(root):
        return _index(root, tars, executor, classes)


def _index(root: Path, tars: list[Path], executor: Executor, classes: tuple[str, ...]) -> Manifest:
    remove_temporaries(root, "*.idx", MANIFEST_NAME, ERRORS_NAME)
    try:
        results = list(executor.map(index_tar, tars))
        manifest = _manifest(root, tars[0].stem, results, classes)
        (root / MANIFEST_NAME).unlink(missing_ok=True)  # before the indices that it describes change
        for tar in tars:
            pending_index(tar).replace(tar.with_suffix(".idx"))
    finally:
        remove_temporaries(root, "*.idx")
    write_errors(root, [event for result in results for event in result.events])
    write_whole(root / MANIFEST_NAME, manifest.to_bytes())
    return manifest


def _manifest(root: Path, name: str, results: list[IndexedTar], classes: tuple[str, ...]) -> Manifest:
    labelled = _is_labelled(root, results)
    highest = max(result.highest_label for result in results)
    if labelled and not classes:
        classes = tuple(str(label) for label in range(highest + 1))
    if labelled and highest >= len(classes):
        raise ShardError(
            "labels beyond the list of classes", where=root, found=highest, expected=f"below {len(classes)}"
        )
    return Manifest(
        name=name,
        seed=0,
        classes=classes if labelled else (),
        shards=tuple(result.entry for result in results if result.entry.num_samples),
        num_dropped=sum(len(result.events) for result in results),
        build={"source": IN_PLACE, "plan": "", "checks": "", "pictures": {}},
    )


def _is_labelled(root: Path, results: list[IndexedTar]) -> bool:
    num_samples = sum(result.entry.num_samples for result in results)
    num_unlabelled = sum(result.num_unlabelled for result in results)
    if not num_samples:
        raise ShardError("no sample with a picture that decodes", where=root, fix="python -m shards check DIR")
    if num_unlabelled not in (0, num_samples):
        found = f"{num_unlabelled:,} of {num_samples:,} without"
        raise ShardError("only some samples have a label", where=root, found=found, fix="build new shards from it")
    return num_unlabelled == 0


def _members(key: str, parts: list[tuple[str, TarMember]]) -> list[IndexMember]:
    """The picture, under its lower-case suffix, and the label; empty where there is no picture.

    Names are only labels to DALI and may hold no white space, so they are percent-escaped where they do.
    """
    wanted = [part for part in parts if is_picture_suffix(part[0])][:1]
    wanted += [part for part in parts if part[0] == LABEL][:1] if wanted else []
    named = ((suffix.rpartition(".")[2].lower(), part) for suffix, part in wanted)
    return [IndexMember(suffix, part.offset, part.size, _plain(f"{key}.{suffix}")) for suffix, part in named]


def _plain(name: str) -> str:
    return "".join(letter if _is_plain(letter) else f"%{ord(letter):02X}" for letter in name)


def _is_plain(letter: str) -> bool:
    return not letter.isspace() and letter != "%" and not "\ud800" <= letter <= "\udfff"  # bytes that are no UTF-8


def _trouble(descriptor: int, tar: Path, key: str, picture: IndexMember) -> Event | None:
    content = os.pread(descriptor, picture.size, picture.offset)
    for finding in inspect(content, picture.name).findings:
        if finding.trouble not in HARMLESS:
            name = f"{tar.name}/{key}"
            trouble, detail = str(finding.trouble), finding.detail
            return {"key": key, "name": name, "trouble": trouble, "action": DROPPED, "detail": detail}
    return None
