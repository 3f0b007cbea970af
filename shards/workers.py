"""Running shard tasks on an executor: a bounded window of tasks, and a worker's death named.

Any `concurrent.futures.Executor` will do. The local one is a pool of spawned processes that stop at once when the
command ends, however it ends: after kill -9 of the parent a plain pool would leave its workers waiting for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection

from shards.errors import ShardError
from shards.record import ShardRecord
from shards.shard_task import ShardTask, write_shard

TICK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who does the work.

    Attributes:
        pool: opens the executor; called only when there is something to write.
        num_in_flight: tasks handed to the executor at a time.
        title: before the progress figures.
        death_errors: what the executor raises for tasks whose worker died.
    """

    pool: Callable[[], AbstractContextManager[Executor]]
    num_in_flight: int
    title: str = "build"
    death_errors: tuple[type[Exception], ...] = (BrokenExecutor,)


def local_crew(num_workers: int, title: str = "build") -> Crew:
    """Processes on this machine."""
    return Crew(pool=lambda: local_pool(num_workers), num_in_flight=2 * num_workers, title=title)


@contextmanager
def local_pool(num_workers: int) -> Iterator[Executor]:
    """A pool of processes that are gone as soon as the block is left, or this process is."""
    context = multiprocessing.get_context("spawn")
    lifeline, our_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=(lifeline,))
    try:
        yield pool
    finally:
        our_end.close()
        pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()


def _start_worker(lifeline: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def _end_with_parent(lifeline: Connection) -> None:
    lifeline.poll(None)  # returns at end of file, when the parent has closed its end or died
    os._exit(1)


def run_tasks(
    tasks: Iterable[ShardTask],
    executor: Executor,
    crew: Crew,
    *,
    on_tick: Callable[[], None],
) -> Iterator[ShardRecord]:
    """Yield each task's record as it finishes, in no fixed order.

    Args:
        tasks: consumed lazily, so that only those in flight exist.
        executor: runs `write_shard`.
        crew: says how many tasks are handed over at a time, and what a worker's death raises.
        on_tick: called about twice a second while waiting.

    Raises:
        ShardError: a task failed in a way the user can mend, or a worker died; finished shards stay.
    """
    remaining, running = iter(tasks), dict[Future[ShardRecord], ShardTask]()
    try:
        while True:
            for task in islice(remaining, crew.num_in_flight - len(running)):
                running[executor.submit(write_shard, task)] = task
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
        where=f"while writing {', '.join(stems)}",
        fix="finished shards are kept: run the same command again to go on, with fewer --workers if memory ran out",
    )
