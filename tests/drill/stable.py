"""Runs forked from one process that has torch, DALI and the trainer imported: a second of CPU time instead of eight.

A fault is a hook that a rank calls before it trains (it replaces functions of that process alone), or a watcher that
looks at the ranks from outside and sends signals.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Hook = Callable[["Place"], None]
Watcher = Callable[["Running"], None]


@dataclass(frozen=True, slots=True)
class Place:
    """One rank of one start: `steps[rank]` is the step of the run that it has begun, seen by the drill as well."""

    rank: int
    attempt: int
    steps: mmap.mmap

    def begin_step(self, number: int) -> None:
        struct.pack_into("i", self.steps, 4 * self.rank, number)


def read_step(steps: mmap.mmap, rank: int) -> int:
    return int(struct.unpack_from("i", steps, 4 * rank)[0])


@dataclass(slots=True)
class Running:
    """The processes of a start: the ranks', or those of torchrun with the ranks below it."""

    pids: list[int]
    steps: mmap.mmap
    began: float
    done: dict[int, int] = field(default_factory=dict)

    def step(self, rank: int = 0) -> int:
        return read_step(self.steps, rank)

    def kill(self, index: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.pids[index] not in self.done:
                os.kill(self.pids[index], number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a start ended: exit codes by process (negative is a signal), what was said, whether it had to be killed."""

    codes: list[int]
    out: str
    err: str
    seconds: float
    is_hung: bool

    @property
    def is_good(self) -> bool:
        return not self.is_hung and all(code == 0 for code in self.codes)


def preload() -> None:
    """Import what a run imports, once, on one thread: a fork of a process with threads would not be sound."""
    import torch
    import torch._dynamo  # an optimizer imports it

    torch.set_num_threads(1)
    import swav_dali.cli
    import swav_dali.run.trainer  # noqa: F401

    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads"


def warm(arguments: Sequence[str]) -> None:
    """Describe the run's pipeline once, which DALI translates from Python for half a second, and throw it away."""
    import torch

    import swav_dali.cli
    from swav_dali.ranks.world import World
    from swav_dali.run import make, resolve

    world = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
    config = resolve.resolve(swav_dali.cli.parse(arguments), world)
    stream = make.open_data(config, make.load_shards(config), world)._stream
    stream._plan.build(None, None)
    gc.collect()
    gc.freeze()  # a run begins with a collection, which would copy every page of this process


def start(
    arguments: Sequence[str],
    folder: Path,
    *,
    ranks: int = 1,
    hooks: Sequence[Hook] = (),
    watch: Watcher | None = None,
    max_restarts: int | None = None,
    namespaces: Sequence[str] = (),
    stdout: int | None = None,
    timeout: float = 150.0,
) -> Ended:
    """Run `train.py arguments` to its end.

    Args:
        arguments: of train.py.
        folder: for what the processes say.
        ranks: processes; started by hand, or by torchrun when `max_restarts` is given.
        hooks: called in every rank first.
        watch: called about a hundred times a second.
        max_restarts: torchrun's.
        namespaces: network namespace of each rank.
        stdout: a descriptor that takes the place of the file.
        timeout: seconds until the run counts as hung.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = mmap.mmap(-1, 4096)
    port = _free_port()
    pids = []
    out, err = folder / "out.txt", folder / "err.txt"
    for path in (out, err):
        path.write_bytes(b"")

    def rank_main(rank: int) -> None:
        _redirect(out if stdout is None else stdout, err)
        if namespaces:
            _enter(namespaces[rank])
        if ranks > 1:
            address = "10.77.0.1" if namespaces else "127.0.0.1"
            os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(0 if namespaces else rank))
            os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(port))
            os.environ.update(LOCAL_WORLD_SIZE=str(1 if namespaces else ranks))
        train(arguments, Place(rank, 0, steps), hooks)

    def agent_main(_: int) -> None:
        _redirect(out, err)
        _torchrun(arguments, ranks, max_restarts or 0, steps, hooks)

    for rank in range(ranks if max_restarts is None else 1):
        pids.append(_fork(rank_main if max_restarts is None else agent_main, rank))
    running = Running(pids, steps, time.monotonic())
    is_hung = _wait(running, watch, timeout)
    seconds = time.monotonic() - running.began
    codes = [os.waitstatus_to_exitcode(running.done[pid]) for pid in pids]
    return Ended(
        codes=codes,
        out=out.read_text(errors="replace"),
        err=err.read_text(errors="replace"),
        seconds=seconds,
        is_hung=is_hung,
    )


def train(arguments: Sequence[str], place: Place, hooks: Sequence[Hook]) -> None:
    """What `python train.py arguments` does, in this process; ends it."""
    import swav_dali.cli
    import swav_dali.run.loop as loop
    from shards.errors import run_command

    real = loop._step

    def counted(run: Any, batch: Any) -> Any:
        place.begin_step(run.clock.step + 1)
        return real(run, batch)

    loop._step = counted
    for hook in hooks:
        hook(place)
    sys.argv = ["train.py", *arguments]
    sys.exit(run_command(swav_dali.cli.main))


def _fork(main: Callable[[int], None], index: int) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        main(index)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _redirect(out: Path | int, err: Path) -> None:
    """Everything that this process says goes to files, as behind a pipe: no terminal."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out if isinstance(out, int) else os.open(out, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_APPEND), 2)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _torchrun(arguments: Sequence[str], ranks: int, restarts: int, steps: mmap.mmap, hooks: Sequence[Hook]) -> None:
    """What torchrun does, with ranks forked from this process."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=f"drill-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=restarts,
        monitor_interval=0.1,
        start_method="fork",
    )

    def entry() -> None:
        attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        place = Place(int(os.environ["RANK"]), attempt, steps)
        struct.pack_into("i", steps, 4 * place.rank, 0)
        train(arguments, place, hooks)

    try:
        elastic_launch(config, entry)()
    except ChildFailedError as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)


def _wait(running: Running, watch: Watcher | None, timeout: float) -> bool:
    """Until every process has ended; True if they had to be killed for it."""
    is_hung = False
    while len(running.done) < len(running.pids):
        for pid in running.pids:
            if pid not in running.done:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    running.done[pid] = status
        if watch is not None:
            watch(running)
        if not is_hung and time.monotonic() - running.began > timeout:
            is_hung = True
            for pid in running.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        time.sleep(0.01)
    for pid in running.pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what a killed launcher or rank left behind
    return is_hung


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _enter(namespace: str) -> None:
    """Move this process into a network namespace made by `ip netns add`."""
    import ctypes

    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Every line of a run's metrics.jsonl; raises ValueError for a line that is none."""
    text = (folder / "metrics.jsonl").read_text()
    if not text.endswith("\n"):
        raise ValueError("metrics.jsonl ends in half a line")
    return [json.loads(line) for line in text.splitlines()]
