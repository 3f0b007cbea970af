"""Running shard tasks on an executor: a bounded window of tasks, and a worker's death named.

Any `concurrent.futures.Executor` will do; see `local_pool` for that of this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from shards.building.record import ShardRecord
from shards.building.shard_task import ShardTask, write_shard
from shards.errors import ShardError
from shards.host.local_pool import local_pool

TICK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who does the work, ready for it.

    Attributes:
        executor: runs the tasks.
        num_in_flight: tasks handed to the executor at a time.
        title: before the progress figures.
        death_errors: what the executor raises for tasks whose worker died.
    """

    executor: Executor
    num_in_flight: int
    title: str = "build"
    death_errors: tuple[type[Exception], ...] = (BrokenExecutor,)


@contextmanager
def local_crew(num_workers: int) -> Iterator[Crew]:
    """Processes on this machine."""
    with local_pool(num_workers, first=_get_ready) as executor:
        yield Crew(executor=executor, num_in_flight=2 * num_workers)


def _get_ready() -> None:
    """Nothing: a worker that is told to do this imports what `write_shard` needs."""


def run_tasks(
    tasks: Iterable[ShardTask],
    crew: Crew,
    *,
    on_tick: Callable[[], None],
) -> Iterator[ShardRecord]:
    """Yield each task's record as it finishes, in no fixed order.

    Args:
        tasks: consumed lazily, so that only those in flight exist.
        crew: runs `write_shard`; says how many tasks are handed over at a time, and what a worker's death raises.
        on_tick: called about twice a second while waiting.

    Raises:
        ShardError: a task failed in a way the user can mend, or a worker died; finished shards stay.
    """
    remaining, running = iter(tasks), dict[Future[ShardRecord], ShardTask]()
    try:
        while True:
            for task in islice(remaining, crew.num_in_flight - len(running)):
                running[crew.executor.submit(write_shard, task)] = task
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
