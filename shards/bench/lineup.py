"""Who takes part in a bench, in the order of their turns: floors, tar, our build, webdataset's writer.

Commands are timed whole, from start to exit; loops without their start-up. So the build plays by the harder rules.
Nobody who waits for the disk comes right behind somebody who left gigabytes on it: a disk goes on freeing them after
they were removed, which took a second and a half from such a neighbour.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from shards.bench import loops
from shards.bench.loops import run_loop
from shards.bench.memory import touch
from shards.bench.working_set import WorkingSet
from shards.errors import ShardError
from shards.harness.turns import Contestant, Turn, children_cpu_seconds, stopwatch

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
    tar = ["tar", "cf", str(out / "all.tar"), "-C", str(pictures.root), "."]
    build = _build_command(pictures.root, out, workers, num_shards=min(SHARDS_PER_WORKER * workers, len(every)))
    start = _build_command(_start_up_set(ones, folder / "start"), out, workers, num_shards=len(ones))
    enter = partial(_enter, out)
    return [
        enter(READ, every, workers, partial(run_loop, loops.reading)),
        enter(TAR, every, 1, partial(_time_command, tar)),
        enter(BUILD_FAST, every, workers, partial(_time_command, [*build, "--no-decode"])),
        enter(DECODE, some, workers, partial(run_loop, loops.decoding_rgb)),
        enter(VERIFY, some, workers, partial(run_loop, loops.verifying)),
        enter(BUILD, every, workers, partial(_time_command, build)),
        enter(SHARD_WRITER, few, 1, partial(run_loop, partial(loops.writing_with_webdataset, out=out / "tars"))),
        enter(TAR_SYNCED, every, 1, partial(_time_command, tar, written=out / "all.tar")),
        enter(START_UP, ones, workers, partial(_time_command, start)),
    ]


def _enter(
    out: Path, name: str, paths: Sequence[Path], processes: int, run: Callable[[Sequence[Path], int], Turn]
) -> Contestant:
    num_bytes = sum(path.stat().st_size for path in paths)
    return Contestant(
        name=name,
        parallel=processes,
        run=partial(run, paths, processes),
        prepare=partial(_get_ready, out, num_bytes),
        clean=partial(shutil.rmtree, out, ignore_errors=True),
        bytes_per_item=num_bytes / len(paths),
    )


def _get_ready(out: Path, num_bytes: int) -> None:
    """Leave nothing of the last turn's to write, or this one would wait for it, and have memory at hand."""
    os.sync()
    touch(num_bytes)
    out.mkdir()


def _start_up_set(paths: Sequence[Path], folder: Path) -> Path:
    """A picture for each worker, so that all of them start."""
    (folder / "class").mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, folder / "class" / path.name)
    return folder


def _build_command(src: Path, out: Path, workers: int, *, num_shards: int) -> list[str]:
    numbers = ["--workers", str(workers), "--num-shards", str(num_shards)]
    return [sys.executable, "-m", "shards", "build", str(src), str(out), *numbers]


def _time_command(
    command: Sequence[str], paths: Sequence[Path], processes: int, *, written: Path | None = None
) -> Turn:
    """Run a command that goes through these files; `written`, if given, is flushed to disk within its time."""
    elapsed = stopwatch(children_cpu_seconds)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        raise ShardError(f"failed with exit code {done.returncode}", where=" ".join(command), found=last)
    if written is not None:
        with written.open("rb") as file:
            os.fsync(file.fileno())
    return elapsed(len(paths))
