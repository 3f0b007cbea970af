"""Who takes part in a bench, in the order of their turns: floors, tar, our build, webdataset's writer.

Commands are timed whole, from start to exit; loops without their start-up. So the build plays by the harder rules.
Nobody who waits for the disk comes right behind somebody who left gigabytes on it: a disk goes on freeing them after
they were removed, which took a second and a half from such a neighbour.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from shards.bench import loops
from shards.bench.turn import Contestant, Turn, stopwatch
from shards.bench.working_set import WorkingSet
from shards.errors import ShardError

READ, TAR, TAR_SYNCED, BUILD_FAST = "read only", "tar cf", "tar cf, then fsync", "build --no-decode"
DECODE, VERIFY, BUILD = "decode to RGB only", "verify only", "build"
SHARD_WRITER, START_UP = "webdataset ShardWriter", "build, start-up only"
DECODED_SHARE, ENCODED_SHARE = 1 / 8, 1 / 32
SHARDS_PER_WORKER = 8


def line_up(pictures: WorkingSet, folder: Path, *, workers: int) -> list[Contestant]:
    """Every contestant; what each writes below `folder` is removed after its turn.

    The cheap ones and our build go through all the pictures, the others through whole copies of the mixture.
    """
    out = folder / "out"
    every, some, few = (pictures.part(share) for share in (1, DECODED_SHARE, ENCODED_SHARE))
    ones = every[:workers]
    start, num_shards = _start_up_set(ones, folder / "start"), min(SHARDS_PER_WORKER * workers, len(every))
    build = partial(_build, out, workers)
    enter = partial(_enter, out)
    return [
        enter(READ, every, workers, partial(loops.run_loop, loops.reading, every, workers)),
        enter(TAR, every, 1, partial(_tar, pictures.root, out, synced=False)),
        enter(BUILD_FAST, every, workers, partial(build, num_shards, pictures.root, "--no-decode")),
        enter(DECODE, some, workers, partial(loops.run_loop, loops.decoding_rgb, some, workers)),
        enter(VERIFY, some, workers, partial(loops.run_loop, loops.verifying, some, workers)),
        enter(BUILD, every, workers, partial(build, num_shards, pictures.root)),
        enter(SHARD_WRITER, few, 1, partial(loops.run_loop, partial(loops.writing_with_webdataset, out=out), few, 1)),
        enter(TAR_SYNCED, every, 1, partial(_tar, pictures.root, out, synced=True)),
        enter(START_UP, ones, workers, partial(build, len(ones), start)),
    ]


def _enter(out: Path, name: str, paths: Sequence[Path], processes: int, run: Callable[[], Turn]) -> Contestant:
    return Contestant(
        name=name,
        processes=processes,
        num_images=len(paths),
        num_bytes=sum(_sizes(paths)),
        run=run,
        clean=partial(shutil.rmtree, out, ignore_errors=True),
    )


def _sizes(paths: Sequence[Path]) -> list[int]:
    return [path.stat().st_size for path in paths]


def _start_up_set(paths: Sequence[Path], folder: Path) -> Path:
    """A picture for each worker, so that all of them start."""
    (folder / "class").mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, folder / "class" / path.name)
    return folder


def _tar(root: Path, out: Path, *, synced: bool) -> Turn:
    out.mkdir()
    elapsed = stopwatch(resource.RUSAGE_CHILDREN)
    _run(["tar", "cf", str(out / "all.tar"), "-C", str(root), "."])
    if synced:
        with (out / "all.tar").open("rb") as file:
            os.fsync(file.fileno())
    return elapsed()


def _build(out: Path, workers: int, num_shards: int, src: Path, *flags: str) -> Turn:
    elapsed = stopwatch(resource.RUSAGE_CHILDREN)
    numbers = ["--workers", str(workers), "--num-shards", str(num_shards)]
    _run([sys.executable, "-m", "shards", "build", str(src), str(out), *numbers, *flags])
    return elapsed()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        raise ShardError(f"failed with exit code {done.returncode}", where=" ".join(command), found=last)
