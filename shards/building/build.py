"""From a source to a finished shard set, in a folder or at a URL: look what is there, write the rest, manifest last.

Running it again over a finished set with the same source and options finds it complete; over an unfinished one, or
after some pictures were replaced, it writes only the shards whose records, files or samples do not match.

A set at a URL never lies on a local disk: its shards are written in scratch space, and each is sent as soon as it is
finished, its record after it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from shards.building.crew import Crew, run_tasks
from shards.building.delivery import delivering, scratch_folder
from shards.building.duplicates import duplicates_written
from shards.building.events import ERRORS_NAME, QUARANTINE, num_dropped, quarantined, write_errors
from shards.building.job import Job
from shards.building.plan import MIB
from shards.building.record import BUILD_FOLDER, ShardRecord, parse_record, record_name
from shards.building.spill import Spill, remove_spill, write_spill
from shards.errors import ShardError
from shards.host import atomic
from shards.host.lock import hold_lock
from shards.host.progress import Amount, Progress
from shards.remote.copies import manifest_at
from shards.remote.store import Store, StoredFile
from shards.tars.manifest import MANIFEST_NAME, Manifest, ShardEntry, sha256_of
from shards.tars.other_indices import format_indices

LOCK = "lock"
READERS = 16  # records read at a time
SPARE_BYTES = 64 * MIB
Files = Mapping[str, StoredFile]


def build(job: Job, out: Store, crew: Crew, *, scratch: Path | None = None) -> tuple[Manifest, bool]:
    """Write the shard set of a job.

    Args:
        job: from `plan_build`.
        out: a folder, created when missing, or a URL, where nothing else may write meanwhile: builds on other machines
            are not noticed there.
        crew: who does the work.
        scratch: for a URL, where the shards in hand lie; see `scratch_folder`. Each worker of a Dask cluster has this
            folder for itself.

    Returns:
        The manifest, and whether anything had to be written.

    Raises:
        ShardError: `out` holds another set, the disk is too small, a picture cannot be read, a worker died, the store
            refuses, or a file does not arrive there as it was written.
    """
    with _workplace(out, scratch) as work:
        done = dict(_finished_shards(job, out))
        if (old := manifest_at(out)) is not None:
            is_same = old.build.get("plan") == job.fingerprint
            if is_same and len(done) == job.plan.num_shards:
                return old, False
            _check_replaceable(out, old, may_replace=is_same or job.options.overwrite)
            out.remove(MANIFEST_NAME)  # before the shards that it describes change
        _remove_temporaries(work)
        remove_spill(work)
        missing = [number for number in range(job.plan.num_shards) if number not in done]
        num_here = len(missing) if out.folder else min(len(missing), crew.num_in_flight)
        check_space(work, _bytes_needed(job, len(missing), num_here=num_here))
        _write_missing(job, work, missing, done, crew if out.folder else delivering(crew, out))
        return _finish(job, out, [done[number] for number in range(job.plan.num_shards)]), True


def write_indices(out: Store, splits: dict[str, Manifest]) -> None:
    """Write the indices of other readers for the splits of one build, where they are not there already."""
    for name, content in format_indices(splits):
        if out.look(name) is None or out.read_from(name, 0) != content:
            out.write(name, content)


def check_space(folder: Path, needed: int) -> None:
    """Raise `ShardError` when the disk of `folder` has less than `needed` bytes free, plus a little."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        found, expected = f"{free / 1e9:.2f} GB free", f"{(needed + SPARE_BYTES) / 1e9:.2f} GB"
        fix = "free some or choose another disk"
        raise ShardError("not enough free space", where=folder, found=found, expected=expected, fix=fix)


@contextmanager
def _workplace(out: Store, scratch: Path | None) -> Iterator[Path]:
    """The folder in which shards are written, held by this build alone: the set's own, or scratch space for a URL."""
    work = out.folder or scratch_folder(scratch, out.place())
    (work / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)
    with hold_lock(work / BUILD_FOLDER / LOCK):
        if out.folder:
            yield work
            return
        for path in [path for path in work.rglob("*") if path.is_file() and path.name != LOCK]:
            path.unlink()  # a killed build left it
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _finished_shards(job: Job, out: Store) -> Iterator[tuple[int, ShardRecord]]:
    """(number, record) of the shards that are whole and were written for what the job would write now."""
    files = out.find(BUILD_FOLDER)
    names = {number: record_name(stem) for number, stem in enumerate(job.stems)}
    there = {number: name for number, name in names.items() if name in files}
    with ThreadPoolExecutor(READERS) as pool:
        records = pool.map(lambda name: parse_record(out.read_from(name, 0)), there.values())
        for number, record in zip(there, records, strict=True):
            if record is None or record.plan != job.shard_fingerprint(number):
                continue
            if _is_whole(out, files, record.entry):
                yield number, record


def _is_whole(out: Store, files: Files, entry: ShardEntry) -> bool:
    """Whether a shard's files are there, none if it is empty: the tar in its size, the index with its checksum.

    At a URL the index is not read again: its record was sent after both had been compared.
    """
    if entry.num_samples == 0:
        return True
    if entry.tar not in files or entry.idx not in files or files[entry.tar].size != entry.tar_bytes:
        return False
    return out.folder is None or sha256_of(out.read(entry.idx)) == entry.idx_sha256


def _check_replaceable(out: Store, old: Manifest, *, may_replace: bool) -> None:
    """Refuse to replace a finished set unless it is the same one or replacing was asked for."""
    if not may_replace:
        found = f"a finished set of {old.num_samples:,} samples, seed {old.seed}"
        fix = "choose another folder, or replace it with --overwrite"
        raise ShardError("made from another source or with other options", where=out.place(), found=found, fix=fix)


def _remove_temporaries(work: Path) -> None:
    """Remove what killed writers left, which nobody else can be writing while the lock is held."""
    atomic.remove_temporaries(work / BUILD_FOLDER, "*")
    atomic.remove_temporaries(work, MANIFEST_NAME, ERRORS_NAME)


def _bytes_needed(job: Job, num_missing: int, *, num_here: int) -> int:
    """Disk space for the shards that lie here at a time, and one copy of all missing ones if they are read in order."""
    num_copies = num_missing if job.is_sequential else 0
    return job.plan.estimated_bytes // job.plan.num_shards * (num_here + num_copies)


def _write_missing(job: Job, work: Path, missing: list[int], done: dict[int, ShardRecord], crew: Crew) -> None:
    """Write the shards numbered in `missing` and put their records into `done`."""
    spill = _read_in_order(job, work, missing, crew.title) if job.is_sequential and missing else None
    total = Amount(job.plan.estimated_bytes, len(job.listing))
    with Progress(crew.title, total, before=_amount(job, done, in_flight=0)) as progress:

        def tick() -> None:
            progress.show(_amount(job, done, in_flight=_bytes_in_flight(work)))

        for record in run_tasks((job.task(work, number, spill) for number in missing), crew, on_tick=tick):
            done[record.number] = record
            if spill is not None:
                spill.path(record.number).unlink(missing_ok=True)
        progress.show(_amount(job, done, in_flight=0))
    remove_spill(work)
    _remove_temporaries(work)  # of workers that died and whose tasks others took over


def _read_in_order(job: Job, work: Path, missing: list[int], title: str) -> Spill:
    """Read the source in its own order into scratch files, with progress of its own."""
    num_rows = sum(len(job.plan.rows(number)) for number in missing)
    with Progress(f"{title}, reading in order", Amount(job.plan.estimated_bytes, num_rows)) as progress:
        return write_spill(job.source, job.listing, job.plan, missing, work, on_row=progress.show)


def _amount(job: Job, done: dict[int, ShardRecord], *, in_flight: int) -> Amount:
    """What is done, with so many bytes of unfinished tars."""
    samples = sum(int(job.plan.bounds[number + 1] - job.plan.bounds[number]) for number in done)
    num_bytes = sum(record.entry.tar_bytes for record in done.values())
    per_sample = num_bytes / samples if samples else job.plan.estimated_bytes / len(job.listing)
    return Amount(num_bytes + in_flight, samples + min(in_flight / per_sample, len(job.listing) - samples))


def _bytes_in_flight(work: Path) -> int:
    """Bytes of the tars being written now, by whichever process or machine: no channel to the workers is needed."""
    total = 0
    for path in (work / BUILD_FOLDER).glob(f"*.tar{atomic.TEMPORARY}*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # finished since the folder was read
            continue
    return total


def _finish(job: Job, out: Store, records: list[ShardRecord]) -> Manifest:
    """Remove what is not of this set, write errors.jsonl and, last of all, the manifest."""
    events = [event for record in records for event in record.events]
    _remove_others(job, out, kept=set(quarantined(events)))
    events = [*job.events, *events, *duplicates_written(job.listing, job.plan, records)]
    write_errors(out, events)
    pictures = {"bytes_in": sum(r.bytes_in for r in records), "bytes_out": sum(r.bytes_out for r in records)}
    checks = job.options.judge.describe()
    manifest = Manifest(
        name=job.options.name,
        seed=job.options.seed,
        classes=job.listing.classes,
        shards=tuple(record.entry for record in records if record.entry.num_samples),
        num_dropped=num_dropped(events),
        build={"plan": job.fingerprint, "source": job.source.kind, "checks": checks, "pictures": pictures},
    )
    if not manifest.num_samples:
        raise ShardError("no picture is left after checking", where=out.place(), fix=f"see {out.place(ERRORS_NAME)}")
    out.write(MANIFEST_NAME, manifest.to_bytes())
    return manifest


def _remove_others(job: Job, out: Store, *, kept: set[str]) -> None:
    """Remove shards of the same name that are not in the plan, and pictures that other builds left out."""
    stems, shard = set(job.stems), rf"(?:{BUILD_FOLDER}/)?({re.escape(job.options.name)}-\d{{6}})\.(tar|idx|json)"
    for name in out.find(BUILD_FOLDER, QUARANTINE):
        match = re.fullmatch(shard, name)
        is_stranger = match is not None and match.group(1) not in stems
        if is_stranger or (name.startswith(f"{QUARANTINE}/") and name not in kept):
            out.remove(name)
