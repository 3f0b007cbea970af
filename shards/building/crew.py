"""Who does the work: processes of this machine or a Dask cluster, a bounded window of tasks, a worker's death named.

Any `concurrent.futures.Executor` will do; see `local_pool` for that of this machine. The workers of a cluster must see
the source and the output folder.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shards.building.record import ShardRecord
from shards.building.shard_task import ShardTask, write_shard
from shards.errors import ShardError, UserError, missing_package
from shards.host.local_pool import local_pool

TICK_SECONDS = 0.5
CONNECT_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who does the work, ready for it.

    Attributes:
        executor: runs the tasks.
        num_in_flight: tasks handed to the executor at a time.
        work: what is done with each task.
        title: before the progress figures.
        death_errors: what the executor raises for tasks whose worker died.
    """

    executor: Executor
    num_in_flight: int
    work: Callable[[ShardTask], ShardRecord] = write_shard
    title: str = "build"
    death_errors: tuple[type[Exception], ...] = (BrokenExecutor,)


@contextmanager
def local_crew(num_workers: int) -> Iterator[Crew]:
    """Processes on this machine."""
    with local_pool(num_workers, first=_get_ready) as executor:
        yield Crew(executor=executor, num_in_flight=2 * num_workers)


def _get_ready() -> None:
    """Nothing: a worker that is told to do this imports what `write_shard` needs."""


@contextmanager
def dask_crew(address: str) -> Iterator[Crew]:
    """The workers of the Dask scheduler at `address`.

    Raises:
        UserError: Dask is not installed, nothing answers at the address, or the scheduler has no workers.
    """
    try:
        distributed: Any = importlib.import_module("distributed")  # untyped
    except ImportError:
        raise missing_package("distributed", "--dask", extra="dask") from None
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        fix = "start one: dask scheduler, then dask worker ADDRESS"
        raise UserError("no Dask scheduler answers", where=f"--dask {address}", found=error, fix=fix) from None
    with client:
        num_threads = sum(client.nthreads().values())
        if not num_threads:
            raise UserError("the Dask scheduler has no workers", where=f"--dask {address}", fix="dask worker ADDRESS")
        executor = client.get_executor(pure=False)
        yield Crew(executor=executor, num_in_flight=2 * num_threads, death_errors=(distributed.KilledWorker,))


def run_tasks(tasks: Iterable[ShardTask], crew: Crew, *, on_tick: Callable[[], None]) -> Iterator[ShardRecord]:
    """Yield each task's record as it finishes, in no fixed order.

    Args:
        tasks: consumed lazily, so that only those in flight exist.
        crew: says what is done, how many tasks are handed over at a time, and what a worker's death raises.
        on_tick: called about twice a second while waiting.

    Raises:
        ShardError: a task failed in a way the user can mend, or a worker died; finished shards stay.
    """
    remaining, running = iter(tasks), dict[Future[ShardRecord], ShardTask]()
    try:
        while True:
            for task in islice(remaining, crew.num_in_flight - len(running)):
                running[crew.executor.submit(crew.work, task)] = task
            if not running:
                return
            done, _ = wait(running, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
            on_tick()
            for future in done:
                record = future.result()
                del running[future]
                yield record
    except crew.death_errors:
        raise _worker_died(list(running.values())) from None
    finally:
        for future in running:
            future.cancel()


def _worker_died(tasks: list[ShardTask]) -> ShardError:
    stems = sorted(task.stem for task in tasks)
    return ShardError(
        "a worker process died, killed or out of memory",
        where=f"while writing {', '.join(stems)}" if stems else None,
        fix="finished shards are kept: run the same command again to go on, with fewer --workers if memory ran out",
    )
