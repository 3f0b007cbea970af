"""Processes of this machine as an executor: started early, and gone as soon as the command ends, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


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
    """
    context = multiprocessing.get_context("spawn")
    lifeline, our_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=(lifeline,))
    try:
        with _interrupts_held_back(), _one_blas_thread():
            for _ in range(num_workers):
                pool.submit(first)
        yield pool
    finally:
        our_end.close()
        pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait; processes started in the block have it blocked for good."""
    resource_tracker.ensure_running()  # at the first spawn it would start otherwise, and lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Processes started in the block have no threads of NumPy's BLAS, which nothing here uses.

    Otherwise each has one per core, 4,096 on a machine of 64, and they spin for a tenth of a second at the start.
    """
    before = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[BLAS_THREADS]
        else:
            os.environ[BLAS_THREADS] = before


def _start_worker(lifeline: Connection) -> None:
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()


def _end_with_parent(lifeline: Connection) -> None:
    lifeline.poll(None)  # returns at end of file, when the parent has closed its end or died
    os._exit(1)
