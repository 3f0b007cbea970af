"""The output folder between builds: what is finished, what is in the way, what is left over."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from shards.atomic import TEMPORARY
from shards.errors import ShardError
from shards.manifest import MANIFEST_NAME, Manifest
from shards.plan import MIB
from shards.record import BUILD_FOLDER, ShardRecord, is_intact, read_record, record_path

SPARE_BYTES = 64 * MIB


def finished_shards(out: Path, stems: list[str], plan_of: Callable[[int], str]) -> Iterator[tuple[int, ShardRecord]]:
    """(number, record) of the shards that are complete and were written for what `plan_of(number)` says now."""
    for number, stem in enumerate(stems):
        record = read_record(record_path(out, stem))
        if record is not None and record.plan == plan_of(number) and is_intact(out, record.entry):
            yield number, record


def take_down(out: Path, old: Manifest, *, may_replace: bool) -> None:
    """Remove a manifest that no longer describes the folder, before its shards change.

    Raises:
        ShardError: the folder holds a set of another source, seed or options, and replacing it was not asked for.
    """
    if not may_replace:
        found = f"a finished set of {old.num_samples:,} samples, seed {old.seed}"
        fix = "choose another folder, or replace it with --overwrite"
        raise ShardError("made from another source or with other options", where=out, found=found, fix=fix)
    (out / MANIFEST_NAME).unlink()


def remove_temporaries(out: Path) -> None:
    """Remove what killed writers left. Call only while holding the folder's lock."""
    for path in (out / BUILD_FOLDER).glob(f"*{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def remove_strangers(out: Path, name: str, stems: list[str]) -> None:
    """Remove shards of the same name that are not in the plan, left by an earlier build with more shards."""
    known = set(stems)
    for folder in (out, out / BUILD_FOLDER):
        for path in folder.iterdir():
            if re.fullmatch(re.escape(name) + r"-\d{6}\.(tar|idx|json)", path.name) and path.stem not in known:
                path.unlink()


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
    for path in (out / BUILD_FOLDER).glob(f"*.tar{TEMPORARY}*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # finished since the folder was read
            continue
    return total
