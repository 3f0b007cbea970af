"""Processes of this machine as an executor: started early, and gone as soon as the command ends, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from shards.errors import ShardError


def _nothing() -> None:
    pass


@contextmanager
def local_pool(num_workers: int, *, first: Callable[[], None] = _nothing) -> Iterator[Executor]:
    """A pool of processes that are gone as soon as the block is left, or this process is.

    After kill -9 of the parent a plain pool would leave its workers waiting for ever. They never see Ctrl-C, which
    reaches the whole group: the parent decides.

    Args:
        num_workers: processes. All start now, so that they are ready when the first task is.
        first: done by each before any task; if it does nothing, its module has still been imported.

    Raises:
        ShardError: a worker died while the block was waiting for it.
    """
    method = start_method()
    context = multiprocessing.get_context(method)
    lifeline, our_end = context.Pipe(duplex=False)
    ends = (lifeline, our_end if method == "fork" else None)
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=ends)
    try:
        with _interrupts_held_back():
            for _ in range(num_workers):
                pool.submit(first)
        yield pool
    except BrokenExecutor:
        fix = "run the same command again, with fewer --workers if memory ran out"
        raise ShardError("a worker process died, killed or out of memory", fix=fix) from None
    finally:
        our_end.close()
        pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()


def start_method() -> str:
    """Fork where this process has one thread, which costs milliseconds and shares all that is imported; else spawn.

    A fork beside other threads, Python's or a library's, could copy a lock that one of them holds.
    """
    num_threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough
    return "fork" if num_threads == 1 else "spawn"


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait; processes started in the block have it blocked for good."""
    resource_tracker.ensure_running()  # at the first spawn it would start otherwise, and lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(lifeline: Connection, our_end: Connection | None) -> None:
    if our_end is not None:  # a fork has it too, and as long as anybody has it the lifeline does not end
        our_end.close()
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def _end_with_parent(lifeline: Connection) -> None:
    lifeline.poll(None)  # returns at end of file, when the parent has closed its end or died
    os._exit(1)
