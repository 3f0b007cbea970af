"""Writing the shards that are missing: tasks to the executor, progress to the terminal, records back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shards.building import out_folder
from shards.building.job import Job
from shards.building.record import ShardRecord
from shards.building.shard_task import ShardTask
from shards.building.spill import Spill, remove_spill, write_spill
from shards.building.workers import Crew, run_tasks
from shards.host.progress import Display, State, open_display


def write_missing(job: Job, out: Path, missing: list[int], done: dict[int, ShardRecord], crew: Crew) -> None:
    """Write the shards numbered in `missing` and put their records into `done`."""
    spill = _spill(job, out, missing, crew.title) if job.is_sequential and missing else None
    with open_display(crew.title) as display:

        def tick() -> None:
            display.show(_state(job, done, out_folder.bytes_in_flight(out)))

        tick()
        for record in run_tasks(_tasks(job, out, missing, spill), crew, on_tick=tick):
            done[record.number] = record
            if spill is not None:
                spill.path(record.number).unlink(missing_ok=True)
        display.show(_state(job, done, 0), is_last=True)
    remove_spill(out)
    out_folder.remove_temporaries(out)  # of workers that died and whose tasks others took over


def _tasks(job: Job, out: Path, missing: list[int], spill: Spill | None) -> Iterator[ShardTask]:
    return (job.task(out, number, spill) for number in missing)


def _spill(job: Job, out: Path, missing: list[int], title: str) -> Spill:
    """Read the source in order into scratch files, with progress of its own."""
    num_samples = sum(len(job.plan.rows(number)) for number in missing)
    with open_display(f"{title}, reading in order") as display:

        def on_row(rows: int, num_bytes: int) -> None:
            if rows % 64 == 0 or rows == num_samples:
                _show_rows(display, rows, num_samples, num_bytes)

        return write_spill(job.source, job.listing, job.plan, missing, out, on_row=on_row)


def _show_rows(display: Display, rows: int, num_samples: int, num_bytes: int) -> None:
    state = State(num_samples=num_samples, num_bytes=num_bytes, samples_done=rows, bytes_done=num_bytes)
    display.show(state, is_last=rows == num_samples)


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
