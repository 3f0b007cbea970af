"""From a source to a finished shard set: scan, plan, write what is missing, manifest last.

Running it again over a finished set with the same source and options finds it complete; over an unfinished one it
writes only the shards whose records, files or plan do not match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from shards import out_folder
from shards.atomic import write_whole
from shards.duplicates import duplicates_written, without_duplicates
from shards.errors import ShardError
from shards.judge import Event, Judge
from shards.listing import Listing
from shards.lock import hold_lock
from shards.manifest import MANIFEST_NAME, Manifest, read_manifest
from shards.pictures.troubles import Trouble
from shards.plan import DEFAULT_SHARD_MIB, Plan, fingerprint, make_plan
from shards.policy import Action
from shards.progress import State, open_display
from shards.quarantine import file_name, tidy
from shards.record import BUILD_FOLDER, ShardRecord
from shards.report import DROPPED, ERRORS_NAME, num_dropped, write_errors
from shards.shard_task import ShardTask, stem_of
from shards.sources.base import Source
from shards.workers import run_tasks

MANY_SHARDS = 1000

Pool = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What decides the output beside the source.

    Attributes:
        name: first part of the shard file names.
        seed: of the global shuffle.
        shard_mib: wished size of a shard in MiB.
        judge: checks every picture and decides what is written.
        overwrite: whether another shard set in the output folder may be replaced.
    """

    name: str = "shard"
    seed: int = 0
    shard_mib: float = DEFAULT_SHARD_MIB
    judge: Judge = field(default_factory=Judge)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ShardError(
                "not usable in file names", where="--name", found=self.name, expected="letters, digits, - or _"
            )
        if self.shard_mib <= 0 or self.seed < 0:
            raise ShardError("must be positive", where="--shard-mib, --seed", found=(self.shard_mib, self.seed))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A source with its plan: what `plan_build` hands to `build`. `events` are of pictures left out of the plan."""

    source: Source
    listing: Listing
    plan: Plan
    options: BuildOptions
    fingerprint: str
    warnings: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def stems(self) -> list[str]:
        """File names of all shards without the suffix."""
        return [stem_of(self.options.name, number) for number in range(self.plan.num_shards)]

    def task(self, out: Path, number: int) -> ShardTask:
        """The task that writes shard `number` into `out`."""
        return ShardTask(
            out=out,
            name=self.options.name,
            number=number,
            first=int(self.plan.bounds[number]),
            samples=self.listing.take(self.plan.rows(number)),
            reader=self.source.reader(),
            judge=self.options.judge,
            plan=self.fingerprint,
        )


def plan_build(source: Source, options: BuildOptions) -> Job:
    """Scan the source and decide which sample goes where; writes nothing.

    Reads pictures only if the policy for duplicates leaves them out, since the plan is made of what is left.
    """
    listing, warnings = source.scan()
    events: list[Event] = []
    if (action := options.judge.policy.actions[Trouble.DUPLICATE]) != Action.KEEP:
        listing, events = without_duplicates(source, listing, action)
    plan = make_plan(listing, seed=options.seed, shard_mib=options.shard_mib)
    if plan.num_shards > MANY_SHARDS:
        warnings = [*warnings, f"{plan.num_shards} shards are slow to open: raise --shard-mib to have fewer"]
    return Job(
        source=source,
        listing=listing,
        plan=plan,
        options=options,
        fingerprint=fingerprint(listing, plan, f"1 {options.name} {options.seed} {options.judge.describe()}"),
        warnings=tuple(warnings),
        events=tuple(events),
    )


def build(job: Job, out: Path, *, pool: Pool, num_in_flight: int, title: str = "build") -> tuple[Manifest, bool]:
    """Write the shard set of a job into `out`.

    Args:
        job: from `plan_build`.
        out: created when missing.
        pool: opens the executor; called only when there is something to write.
        num_in_flight: tasks handed to the executor at a time.
        title: before the progress figures.

    Returns:
        The manifest, and whether anything had to be written.

    Raises:
        ShardError: `out` holds another set, the disk is too small, a picture cannot be read, or a worker died.
    """
    (out / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)
    with hold_lock(out / BUILD_FOLDER / "lock"):
        done = dict(out_folder.finished_shards(out, job.stems, job.fingerprint))
        if (old := read_manifest(out)) is not None:
            is_same = old.build.get("plan") == job.fingerprint
            if is_same and len(done) == job.plan.num_shards:
                return old, False
            out_folder.take_down(out, old, may_replace=is_same or job.options.overwrite)
        out_folder.remove_temporaries(out)
        missing = [number for number in range(job.plan.num_shards) if number not in done]
        out_folder.check_space(out, job.plan.estimated_bytes * len(missing) // job.plan.num_shards)
        _write(job, out, done, missing, pool, num_in_flight, title)
        return _finish(job, out, [done[number] for number in range(job.plan.num_shards)]), True


def _finish(job: Job, out: Path, records: list[ShardRecord]) -> Manifest:
    """Write errors.jsonl and, last of all, the manifest."""
    out_folder.remove_strangers(out, job.options.name, job.stems)
    found = [event for record in records for event in record.events]
    events = [*job.events, *found, *duplicates_written(job.listing, job.plan, records)]
    tidy(out, {file_name(event["key"], event["name"]) for event in found if event["action"] == DROPPED})
    write_errors(out, events)
    manifest = _manifest(job, records, num_dropped(events))
    if not manifest.num_samples:
        raise ShardError("no picture is left after checking", where=out, fix=f"see {out / ERRORS_NAME}")
    write_whole(out / MANIFEST_NAME, manifest.to_bytes())
    return manifest


def _write(
    job: Job, out: Path, done: dict[int, ShardRecord], missing: list[int], pool: Pool, num_in_flight: int, title: str
) -> None:
    """Write the missing shards and put their records into `done`."""
    tasks = (job.task(out, number) for number in missing)
    with open_display(title) as display, pool() as executor:

        def tick() -> None:
            display.show(_state(job, done, out_folder.bytes_in_flight(out)))

        tick()
        for record in run_tasks(tasks, executor, num_in_flight=num_in_flight, on_tick=tick):
            done[record.number] = record
        display.show(_state(job, done, 0), is_last=True)


def _state(job: Job, done: dict[int, ShardRecord], in_flight: int) -> State:
    samples = sum(int(job.plan.bounds[number + 1] - job.plan.bounds[number]) for number in done)
    bytes_done = sum(record.entry.tar_bytes for record in done.values())
    per_sample = bytes_done / samples if samples else job.plan.estimated_bytes / len(job.listing)
    in_flight_samples = min(in_flight / per_sample, len(job.listing) - samples)
    return State(
        num_samples=len(job.listing),
        num_bytes=job.plan.estimated_bytes,
        samples_done=samples + in_flight_samples,
        bytes_done=bytes_done + in_flight,
    )


def _manifest(job: Job, records: list[ShardRecord], num_dropped: int) -> Manifest:
    pictures = {"bytes_in": sum(r.bytes_in for r in records), "bytes_out": sum(r.bytes_out for r in records)}
    return Manifest(
        name=job.options.name,
        seed=job.options.seed,
        classes=job.listing.classes,
        shards=tuple(record.entry for record in records if record.entry.num_samples),
        num_dropped=num_dropped,
        build={
            "plan": job.fingerprint,
            "source": job.source.kind,
            "checks": job.options.judge.describe(),
            "pictures": pictures,
        },
    )
