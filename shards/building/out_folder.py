"""The output folder between builds: what is finished, what is in the way, what is left over."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from shards.building.plan import MIB
from shards.building.record import BUILD_FOLDER, ShardRecord, is_intact, read_record, record_path
from shards.building.report import ERRORS_NAME
from shards.errors import ShardError
from shards.host import atomic
from shards.tars.manifest import MANIFEST_NAME, Manifest

SPARE_BYTES = 64 * MIB


def finished_shards(out: Path, stems: list[str], plan_of: Callable[[int], str]) -> Iterator[tuple[int, ShardRecord]]:
    """(number, record) of the shards that are complete and were written for what `plan_of(number)` says now."""
    for number, stem in enumerate(stems):
        record = read_record(record_path(out, stem))
        if record is not None and record.plan == plan_of(number) and is_intact(out, record.entry):
            yield number, record


def check_replaceable(where: object, old: Manifest, *, may_replace: bool) -> None:
    """Refuse to replace a finished set unless it is the same one or replacing was asked for."""
    if not may_replace:
        found = f"a finished set of {old.num_samples:,} samples, seed {old.seed}"
        fix = "choose another folder, or replace it with --overwrite"
        raise ShardError("made from another source or with other options", where=where, found=found, fix=fix)


def remove_temporaries(out: Path) -> None:
    """Remove what killed writers left. Call only while holding the folder's lock."""
    atomic.remove_temporaries(out / BUILD_FOLDER, "*")
    atomic.remove_temporaries(out, MANIFEST_NAME, ERRORS_NAME)


def remove_strangers(out: Path, name: str, stems: list[str]) -> None:
    """Remove shards of the same name that are not in the plan, left by an earlier build with more shards."""
    for folder in (out, out / BUILD_FOLDER):
        for path in folder.iterdir():
            if is_stranger(path.name, name, set(stems)):
                path.unlink()


def is_stranger(file: str, name: str, stems: Set[str]) -> bool:
    """Whether a file is of a shard of this name that is not in the plan."""
    match = re.fullmatch(rf"({re.escape(name)}-\d{{6}})\.(tar|idx|json)", file)
    return match is not None and match.group(1) not in stems


def check_space(out: Path, needed: int) -> None:
    """Raise `ShardError` when the disk of `out` has less than `needed` bytes free, plus a little."""
    free = shutil.disk_usage(out).free
    if free < needed + SPARE_BYTES:
        raise ShardError(
            "not enough free space",
            where=out,
            found=f"{free / 1e9:.2f} GB free",
            expected=f"{(needed + SPARE_BYTES) / 1e9:.2f} GB",
            fix="free some or choose another disk",
        )


def bytes_in_flight(out: Path) -> int:
    """Bytes of the tars being written now, by whichever process or machine."""
    total = 0
    for path in (out / BUILD_FOLDER).glob(f"*.tar{atomic.TEMPORARY}*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # finished since the folder was read
            continue
    return total
