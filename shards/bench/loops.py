"""What the contestants without a command do, each in processes of its own: prepare, wait for all, then run.

Only running is timed; starting Python, imports and reading ahead are not. The loops that do the least are floors: no
build can be faster than reading, nor a decoder than decoding.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from typing import TypeVar

from shards.errors import ShardError
from shards.harness.turns import Turn, stopwatch

Item = TypeVar("Item")
Run = Callable[[], None]
Prepare = Callable[[Sequence[Path]], Run]
PATIENCE = 600.0  # seconds that preparing may take
SAMPLES_PER_TAR = 1000  # as in webdataset's example


def run_loop(prepare: Prepare, paths: Sequence[Path], processes: int) -> Turn:
    """Let `processes` processes go through the files, each through an even share of them.

    Args:
        prepare: called in each process with its share; what it returns is then run and timed.
        paths: the files.
        processes: how many.

    Raises:
        ShardError: one of them failed; its traceback is on standard error.
    """
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes + 1), context.SimpleQueue()
    shares = [paths[number::processes] for number in range(processes)]
    workers = [context.Process(target=_work, args=(prepare, share, start, results)) for share in shares]
    for worker in workers:
        worker.start()
    try:
        start.wait(PATIENCE)
        began = time.perf_counter()
        turns = [results.get() for _ in workers]
        seconds = time.perf_counter() - began
    except BrokenBarrierError:
        raise _failed() from None
    finally:
        for worker in workers:
            worker.join()
    if any(worker.exitcode for worker in workers):
        raise _failed()
    return Turn(len(paths), seconds, sum(turn.cpu_seconds for turn in turns))


def _work(prepare: Prepare, paths: Sequence[Path], start: Barrier, results: SimpleQueue[Turn]) -> None:
    try:
        run = prepare(paths)
    except BaseException:
        start.abort()
        raise
    start.wait(PATIENCE)
    elapsed = stopwatch()
    try:
        run()
    finally:
        results.put(elapsed(len(paths)))


def _failed() -> ShardError:
    return ShardError("a process of the bench failed", fix="its last words are above")


def reading(paths: Sequence[Path]) -> Run:
    """Open, read and close every file."""
    return partial(_each, _read, paths)


def decoding_rgb(paths: Sequence[Path]) -> Run:
    """Decode every picture to RGB with simplejpeg, from bytes in memory."""
    import simplejpeg

    return partial(_each, partial(simplejpeg.decode_jpeg, colorspace="RGB"), [path.read_bytes() for path in paths])


def verifying(paths: Sequence[Path]) -> Run:
    """Look at every picture as `build` does, from bytes in memory."""
    from shards.pictures.inspect import inspect

    return partial(_each, partial(inspect, name="x.jpg"), [path.read_bytes() for path in paths])


def writing_with_webdataset(paths: Sequence[Path], *, out: Path) -> Run:
    """Webdataset's ShardWriter fed with Pillow images under "jpg", as its ImageNet example does."""
    import PIL.Image
    import webdataset

    def run() -> None:
        out.mkdir()
        with webdataset.ShardWriter(f"{out}/%06d.tar", maxcount=SAMPLES_PER_TAR, verbose=0) as sink:
            for number, path in enumerate(paths):
                image = PIL.Image.open(path).convert("RGB")
                sink.write({"__key__": f"{number:08d}", "jpg": image, "cls": 0})

    return run


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.read()


def _each(do: Callable[[Item], object], items: Sequence[Item]) -> None:
    for item in items:
        do(item)
