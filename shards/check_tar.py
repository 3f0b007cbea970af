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

from shards.errors import ShardError
from shards.index import IndexMember, parse_index
from shards.listing import UNLABELLED
from shards.pictures.inspect import inspect
from shards.pictures.troubles import Trouble
from shards.sources.webdataset import LABEL, is_picture_suffix, samples_of
from shards.tar_scan import TarMember, scan_tar

FATAL = frozenset({Trouble.EMPTY, Trouble.NOT_AN_IMAGE, Trouble.TRUNCATED, Trouble.CORRUPT, Trouble.UNSUPPORTED})
FIRST_PROBLEMS = 20
CHUNK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class TarCheck:
    """What to look at: a tar, its index if there is one, the sha256 it should have, and how closely."""

    tar: Path
    idx: Path | None = None
    tar_sha256: str | None = None
    full: bool = False


@dataclass(kw_only=True)
class TarReport:
    """What was found.

    Attributes:
        tar: the file.
        problems: sentences, each naming its member.
        suffixes: how many samples have each suffix.
        keys: (samples,) 64-bit digests of the keys.
        labels: (samples,) UNLABELLED where there is none.
    """

    tar: Path
    problems: list[str] = field(default_factory=list)
    suffixes: Counter[str] = field(default_factory=Counter)
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    labels: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))


Sample = tuple[str, list[tuple[str, TarMember]]]


def check_tar(task: TarCheck) -> TarReport:
    """Look through one tar. Damage is reported, not raised."""
    report = TarReport(tar=task.tar)
    descriptor = os.open(task.tar, os.O_RDONLY)
    try:
        samples = list(samples_of(scan_tar(descriptor, where=task.tar)))
        _look_at_samples(report, descriptor, samples)
        if task.idx is not None:
            report.problems += _index_problems(task.idx, samples)
        if task.full:
            report.problems += _picture_problems(descriptor, samples)
            report.problems += _checksum_problem(task)
    except (ShardError, OSError) as error:
        report.problems.append(str(error))
    finally:
        os.close(descriptor)
    return report


def _look_at_samples(report: TarReport, descriptor: int, samples: list[Sample]) -> None:
    keys, labels = [], []
    for key, parts in samples:
        names = [suffix for suffix, _ in parts]
        report.suffixes.update(sorted(set(names)))
        if len(set(names)) < len(names):
            report.problems.append(f"{key}: the same suffix twice: {' '.join(names)}")
        keys.append(int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()))
        labels.append(_label(report, descriptor, key, parts))
    report.keys, report.labels = np.array(keys, dtype=np.uint64), np.array(labels, dtype=np.int32)


def _label(report: TarReport, descriptor: int, key: str, parts: list[tuple[str, TarMember]]) -> int:
    member = next((part for suffix, part in parts if suffix == LABEL), None)
    if member is None:
        return UNLABELLED
    text = os.pread(descriptor, member.size, member.offset)
    if not text.strip().isdigit():
        report.problems.append(f"{key}: label is not a number: {text[:20]!r}")
        return UNLABELLED
    return int(text)


def _index_problems(idx: Path, samples: list[Sample]) -> list[str]:
    """Where the index disagrees with the tar's headers."""
    entries = parse_index(idx.read_bytes(), where=idx)
    members = {part.offset: (suffix, part) for _, parts in samples for suffix, part in parts}
    problems = [f"{idx}: {wrong}" for entry in entries for wrong in _entry_problems(entry, members)]
    if len(entries) < len(samples):
        problems.append(f"{idx}: names {len(entries)} of {len(samples)} samples; DALI will not see the others")
    return problems


def _entry_problems(entry: list[IndexMember], members: dict[int, tuple[str, TarMember]]) -> list[str]:
    problems = []
    for part in entry:
        suffix, member = members.get(part.offset, ("", None))
        if member is None:
            problems.append(f"no member starts at byte {part.offset}, where {part.name} should be")
        elif (suffix, member.size) != (part.suffix, part.size):
            problems.append(f"{part.name} is .{suffix} of {member.size} bytes, not .{part.suffix} of {part.size}")
    return problems


def _picture_problems(descriptor: int, samples: list[Sample]) -> list[str]:
    problems = []
    for key, parts in samples:
        for suffix, member in parts:
            if is_picture_suffix(suffix):
                content = os.pread(descriptor, member.size, member.offset)
                findings = inspect(content, member.name).findings
                problems += [f"{key}: {f.trouble}: {f.detail}" for f in findings if f.trouble in FATAL]
    return problems


def _checksum_problem(task: TarCheck) -> list[str]:
    if task.tar_sha256 is None:
        return []
    digest = hashlib.sha256()
    with task.tar.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    found = digest.hexdigest()
    return (
        [] if found == task.tar_sha256 else [f"sha256 is {found[:12]}..., the manifest has {task.tar_sha256[:12]}..."]
    )
