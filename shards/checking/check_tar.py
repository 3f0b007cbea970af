"""Looking through one tar: structure, index against bytes, and with `full` the checksum and every picture.

Works on tars of any origin; what belongs to our own sets only, such as the checksum, is looked at when it is known.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.checking.check_pictures import picture_problems
from shards.checking.second_opinion import second_opinion
from shards.errors import ShardError
from shards.host.files import opened, sha256_of_file
from shards.sources.listing import UNLABELLED
from shards.sources.tar_samples import LABEL, TEXT_LABELS, TarSample, samples_of
from shards.tars.compressed import UNPACK, compression_of
from shards.tars.index import IndexMember, parse_index
from shards.tars.scan import TarMember, scan_tar
from shards.tars.ustar import BLOCK

FIRST_PROBLEMS = 20
HIGHEST_LABEL = np.iinfo(np.int32).max
UNREADABLE = UNLABELLED - 1
PAX_KINDS = (b"x", b"g")


@dataclass(frozen=True, kw_only=True)
class TarCheck:
    """What to look at: a tar, its index if there is one, the sha256 it should have, and how closely.

    `is_gated` says that the index leaves samples out on purpose, as `index` does with pictures that do not decode.
    """

    tar: Path
    idx: Path | None = None
    tar_sha256: str | None = None
    full: bool = False
    is_gated: bool = False


@dataclass(kw_only=True)
class TarReport:
    """What was found.

    Attributes:
        tar: the file.
        problems: sentences, each naming its member.
        suffixes: how many samples have each suffix.
        keys: (samples,) 64-bit digests of the keys.
        labels: (samples,) UNLABELLED where there is none, UNREADABLE where it is no number.
        is_pax: whether it starts with a PAX header.
        num_asked: pictures that the decoder itself was to look at.
        decoder: its name, None where it is absent.
        has_dots: whether a key has a dot, behind which other readers look for the suffix.
    """

    tar: Path
    problems: list[str] = field(default_factory=list)
    suffixes: Counter[str] = field(default_factory=Counter)
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    labels: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    is_pax: bool = False
    has_dots: bool = False
    num_asked: int = 0
    decoder: str | None = None


def check_tar(task: TarCheck) -> TarReport:
    """Look through one tar. Damage is reported, not raised."""
    report = TarReport(tar=task.tar)
    try:
        with opened(task.tar) as descriptor:
            _look_through(report, descriptor, task)
    except ShardError as error:
        report.problems.append(str(error))
    except OSError as error:
        report.problems.append(f"cannot be read: {error.strerror}")
    return report


def find_key(tar: Path, digest: int) -> str:
    """The key in a tar that has this digest, as in `TarReport.keys`."""
    with opened(tar) as descriptor:
        keys = (key for key, _ in samples_of(scan_tar(descriptor, where=tar.name)))
        return next(key for key in keys if _digest(key) == digest)


def _look_through(report: TarReport, descriptor: int, task: TarCheck) -> None:
    head = os.pread(descriptor, BLOCK, 0)
    if kind := compression_of(head):
        report.problems.append(f"compressed with {kind}: {UNPACK}")
        return
    report.is_pax = head[156:157] in PAX_KINDS
    samples, is_whole = _samples(report, descriptor)
    if is_whole and task.idx is not None:
        entries, problems = _compare_index(task.idx, samples)
        report.problems += problems
        if task.is_gated:
            named = {part.offset for entry in entries for part in entry[:1]}
            samples = [(key, parts) for key, parts in samples if any(part.offset in named for _, part in parts)]
        if len(entries) != len(samples) and not problems:
            count = f"names {len(entries):,} samples of {len(samples):,}"
            report.problems.append(f"{task.idx.name}: {count}, and DALI reads what it names")
    _look_at_samples(report, descriptor, samples)
    if task.full:
        opinion = second_opinion()
        problems, report.num_asked = picture_problems(descriptor, samples, opinion)
        report.problems += problems
        report.decoder = opinion.name
        report.problems += _checksum_problem(task) if is_whole else []


def _samples(report: TarReport, descriptor: int) -> tuple[list[TarSample], bool]:
    """The samples up to the end or the first damage, and whether there was none."""
    samples: list[TarSample] = []
    try:
        for sample in samples_of(scan_tar(descriptor, where=report.tar.name)):
            samples.append(sample)  # one by one, to keep those before the damage
    except ShardError as error:
        report.problems.append(f"{error} (at least {len(samples):,} whole samples before that)")
        return samples, False
    if not samples:
        size = os.fstat(descriptor).st_size
        report.problems.append("holds no samples" if size else "is an empty file")
    elif (end := _end_of(samples)) + BLOCK > os.fstat(descriptor).st_size:
        report.problems.append(f"ends at byte {end:,} without an end mark: cut between two members, or never closed")
        return samples, False
    return samples, True


def _end_of(samples: list[TarSample]) -> int:
    last = max((member for _, member in samples[-1][1]), key=lambda member: member.offset)
    return last.offset + last.size + -last.size % BLOCK


def _look_at_samples(report: TarReport, descriptor: int, samples: list[TarSample]) -> None:
    keys, labels = [], []
    for key, parts in samples:
        names = [suffix for suffix, _ in parts]
        report.suffixes.update(sorted(set(names)))
        if len(set(names)) < len(names):
            report.problems.append(f"{key}: the same suffix twice: {' '.join(names)}")
        report.has_dots |= "." in key.rpartition("/")[2]
        keys.append(_digest(key))
        labels.append(_label(report, descriptor, key, parts))
    report.keys, report.labels = np.array(keys, dtype=np.uint64), np.array(labels, dtype=np.int32)


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _label(report: TarReport, descriptor: int, key: str, parts: list[tuple[str, TarMember]]) -> int:
    member = next((part for suffix, part in parts if suffix.lower() in TEXT_LABELS), None)
    if member is None:
        return UNLABELLED
    text = os.pread(descriptor, min(member.size, BLOCK), member.offset)
    if not text.strip().isdigit() or int(text) > HIGHEST_LABEL:
        report.problems.append(f"{key}: label is not a number of 0 or more: {text[:20]!r}")
        return UNREADABLE
    return int(text)


def _compare_index(idx: Path, samples: list[TarSample]) -> tuple[list[list[IndexMember]], list[str]]:
    """The index's entries, and where they disagree with the tar's headers: the first place and how many more."""
    try:
        entries = parse_index(idx.read_bytes(), where=idx.name)
    except ShardError as error:
        return [], [str(error)]
    members = {part.offset: (suffix, part) for _, parts in samples for suffix, part in parts}
    wrong = [problem for entry in entries for problem in _entry_problems(entry, members)]
    more = f" (and {len(wrong) - 1:,} more differences)" if len(wrong) > 1 else ""
    return entries, [f"{idx.name}: {wrong[0]}{more}"] if wrong else []


def _entry_problems(entry: list[IndexMember], members: dict[int, tuple[str, TarMember]]) -> list[str]:
    problems = []
    for part in entry:
        suffix, member = members.get(part.offset, ("", None))
        plain = suffix.rpartition(".")[2].lower()  # as `index` names it
        is_label = part.suffix == LABEL and suffix.lower() in TEXT_LABELS
        if member is None:
            problems.append(f"no member starts at byte {part.offset}, where {part.name} should be")
        elif (part.suffix not in (suffix, plain) and not is_label) or member.size != part.size:
            problems.append(f"{part.name} is .{suffix} of {member.size} bytes, not .{part.suffix} of {part.size}")
    return problems


def _checksum_problem(task: TarCheck) -> list[str]:
    if task.tar_sha256 is None:
        return []
    if (found := sha256_of_file(task.tar)) == task.tar_sha256:
        return []
    return [f"sha256 is {found[:12]}..., the manifest has {task.tar_sha256[:12]}..."]
