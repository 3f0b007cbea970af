"""From a source to a finished shard set: scan, plan, write what is missing, manifest last.

Running it again over a finished set with the same source and options finds it complete; over an unfinished one, or
after some pictures were replaced, it writes only the shards whose records, files or samples do not match.
"""

from __future__ import annotations

from pathlib import Path

from shards.building import out_folder
from shards.building.job import Job
from shards.building.outcome import all_events, make_manifest, quarantined
from shards.building.quarantine import tidy
from shards.building.record import BUILD_FOLDER, ShardRecord
from shards.building.report import ERRORS_NAME, num_dropped, write_errors
from shards.building.spill import remove_spill
from shards.building.workers import Crew
from shards.building.writing import write_missing
from shards.errors import ShardError
from shards.host.atomic import write_whole
from shards.host.lock import hold_lock
from shards.tars.manifest import MANIFEST_NAME, Manifest, read_manifest


def build(job: Job, out: Path, crew: Crew) -> tuple[Manifest, bool]:
    """Write the shard set of a job into `out`.

    Args:
        job: from `plan_build`.
        out: created when missing.
        crew: who does the work.

    Returns:
        The manifest, and whether anything had to be written.

    Raises:
        ShardError: `out` holds another set, the disk is too small, a picture cannot be read, or a worker died.
    """
    (out / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)
    with hold_lock(out / BUILD_FOLDER / "lock"):
        done = dict(out_folder.finished_shards(out, job.stems, job.shard_fingerprint))
        if (old := read_manifest(out)) is not None:
            is_same = old.build.get("plan") == job.fingerprint
            if is_same and len(done) == job.plan.num_shards:
                return old, False
            out_folder.check_replaceable(out, old, may_replace=is_same or job.options.overwrite)
            (out / MANIFEST_NAME).unlink()  # before the shards that it describes change
        out_folder.remove_temporaries(out)
        remove_spill(out)
        missing = [number for number in range(job.plan.num_shards) if number not in done]
        copies = 2 if job.is_sequential else 1
        out_folder.check_space(out, copies * job.plan.estimated_bytes * len(missing) // job.plan.num_shards)
        write_missing(job, out, missing, done, crew)
        return _finish(job, out, [done[number] for number in range(job.plan.num_shards)]), True


def _finish(job: Job, out: Path, records: list[ShardRecord]) -> Manifest:
    """Write errors.jsonl and, last of all, the manifest."""
    out_folder.remove_strangers(out, job.options.name, job.stems)
    tidy(out, {name for record in records for name in quarantined(record)})
    events = all_events(job, records)
    write_errors(out, events)
    manifest = make_manifest(job, records, num_dropped(events))
    if not manifest.num_samples:
        raise ShardError("no picture is left after checking", where=out, fix=f"see {out / ERRORS_NAME}")
    write_whole(out / MANIFEST_NAME, manifest.to_bytes())
    return manifest
