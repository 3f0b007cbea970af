"""Building at a URL: the same shards as in a folder, each sent as soon as it is written, the manifest last.

The set never lies on a local disk: scratch space is for the shards in hand only. Resuming reads the records at the
URL, which are sent after their shard, and writes what has no record, another size, or other samples by now.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shards.building import out_folder
from shards.building.delivery import delivering
from shards.building.job import Job
from shards.building.outcome import all_events, make_manifest, quarantined
from shards.building.quarantine import FOLDER
from shards.building.record import BUILD_FOLDER, ShardRecord, read_record, record_path
from shards.building.report import ERRORS_NAME, format_errors, num_dropped
from shards.building.workers import Crew
from shards.building.writing import write_missing
from shards.errors import ShardError
from shards.host.lock import hold_lock
from shards.remote.places import RemoteFile, RemoteFolder
from shards.tars.manifest import MANIFEST_NAME, Manifest, parse_manifest

READERS = 16  # records fetched at a time

Files = Mapping[str, RemoteFile]


def scratch_folder(base: Path | None, url: str) -> Path:
    """Where the shards of a build at `url` lie while they are written: below `base`, $TMPDIR or the working directory.

    The name is the same for the same URL, so that the next build clears away what a killed one left.
    """
    base = base or Path(os.environ.get("TMPDIR", "."))
    return base / f"shards-scratch-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def build_at_url(job: Job, target: RemoteFolder, scratch: Path, crew: Crew) -> tuple[Manifest, bool]:
    """Write the shard set of a job to a URL; see `shards.building.build.build` for what it returns.

    Args:
        job: from `plan_build`.
        target: nothing else may write there meanwhile; builds on other machines are not noticed.
        scratch: folder for the shards in hand; removed at the end.
        crew: who does the work; with a Dask cluster every worker has this folder for itself.

    Raises:
        ShardError: as `build`; or the store refuses, or a file does not arrive as it was written.
    """
    (scratch / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)
    with hold_lock(scratch / BUILD_FOLDER / "lock"):
        try:
            return _build(job, target, scratch, crew)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _build(job: Job, target: RemoteFolder, scratch: Path, crew: Crew) -> tuple[Manifest, bool]:
    files = target.find()
    done = dict(_finished_shards(job, target, scratch, files))
    if MANIFEST_NAME in files:
        old = parse_manifest(target.read_from(MANIFEST_NAME, 0), where=f"{target.url}/{MANIFEST_NAME}")
        is_same = old.build.get("plan") == job.fingerprint
        if is_same and len(done) == job.plan.num_shards:
            return old, False
        out_folder.check_replaceable(target.url, old, may_replace=is_same or job.options.overwrite)
        target.remove(MANIFEST_NAME)  # before the shards that it describes change
    _clear(scratch)
    missing = [number for number in range(job.plan.num_shards) if number not in done]
    out_folder.check_space(scratch, scratch_bytes(job, len(missing), crew))
    write_missing(job, scratch, missing, done, delivering(crew, target))
    return _finish(job, target, [done[number] for number in range(job.plan.num_shards)]), True


def scratch_bytes(job: Job, num_missing: int, crew: Crew) -> int:
    """Scratch space for so many missing shards: those in hand, and one copy of all when they are read in order."""
    shard_bytes = job.plan.estimated_bytes // job.plan.num_shards
    num_copies = num_missing if job.is_sequential else 0
    return shard_bytes * (min(num_missing, crew.num_in_flight) + num_copies)


def _finished_shards(job: Job, target: RemoteFolder, scratch: Path, files: Files) -> Iterator[tuple[int, ShardRecord]]:
    """(number, record) of the shards that are whole at the URL and were written for what the job would write now."""
    there = {number: stem for number, stem in enumerate(job.stems) if f"{BUILD_FOLDER}/{stem}.json" in files}
    with ThreadPoolExecutor(READERS) as pool:
        records = pool.map(lambda stem: _fetch_record(target, scratch, stem), there.values())
        for number, record in zip(there, records, strict=True):
            if record is not None and record.plan == job.shard_fingerprint(number) and _is_intact(files, record):
                yield number, record


def _fetch_record(target: RemoteFolder, scratch: Path, stem: str) -> ShardRecord | None:
    path = record_path(scratch, stem)
    path.write_bytes(target.read_from(f"{BUILD_FOLDER}/{stem}.json", 0))
    return read_record(path)


def _is_intact(files: Files, record: ShardRecord) -> bool:
    """Whether the shard's files are there, the tar in its size; the record was sent after both had been compared."""
    entry = record.entry
    if entry.num_samples == 0:
        return True
    return entry.idx in files and entry.tar in files and files[entry.tar].size == entry.tar_bytes


def _clear(scratch: Path) -> None:
    """Remove what a killed build left, all but the lock that is held."""
    for path in [path for path in scratch.rglob("*") if path.is_file() and path.name != "lock"]:
        path.unlink()


def _finish(job: Job, target: RemoteFolder, records: list[ShardRecord]) -> Manifest:
    """Remove what is not of this set, write errors.jsonl and, last of all, the manifest."""
    events = all_events(job, records)
    _remove_others(job, target, {f"{FOLDER}/{name}" for record in records for name in quarantined(record)})
    if events:
        target.write(ERRORS_NAME, format_errors(events))
    manifest = make_manifest(job, records, num_dropped(events))
    if not manifest.num_samples:
        where = f"{target.url}/{ERRORS_NAME}"
        raise ShardError("no picture is left after checking", where=target.url, fix=f"see {where}")
    target.write(MANIFEST_NAME, manifest.to_bytes())
    return manifest


def _remove_others(job: Job, target: RemoteFolder, quarantined: set[str]) -> None:
    """Remove shards of an earlier plan and what earlier builds had to say."""
    stems = set(job.stems)
    for name in target.find():
        file = name.removeprefix(f"{BUILD_FOLDER}/")
        is_old_picture = name.startswith(f"{FOLDER}/") and name not in quarantined
        if is_old_picture or name == ERRORS_NAME or out_folder.is_stranger(file, job.options.name, stems):
            target.remove(name)
