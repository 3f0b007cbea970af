"""How long a run takes to leave: from SIGTERM to the checkpoint on disk, to the last rank's end, to the launcher's.

`python tests/tools/timed_leaving.py DATA RUNS [--times 5]` prints the table of docs/launching.md: the demo recipe on
one and two ranks, by hand and by torchrun. DATA is what `python -m shards demo` has made. `--nice N` sets the
priority of everything in the run a moment before the signal: below 0, as root, other work stands aside.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import training
from same_bits import last_step

_POLL_SECONDS = 0.005
_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Seconds from the signal, and how all ended.

    Attributes:
        step: the newest checkpoint's, before which the signal came.
        checkpoint: until it had its name; None if none was written.
        ranks: until no rank was left.
        launcher: until torchrun had ended too; of ranks started by hand, the same.
        codes: exit codes of what was started: the ranks by hand, or torchrun.
        said: everything that was said.
    """

    step: int
    checkpoint: float | None
    ranks: float
    launcher: float
    codes: list[int]
    said: str


def leave(
    train: Sequence[str],
    folder: Path,
    *,
    ranks: int,
    by_torchrun: bool,
    when: Callable[[], bool],
    pause: float = 0.0,
    nice: int | None = None,
) -> Left:
    """Start a run, wait until it is time and for `pause`, ask it to leave, and look on.

    Args:
        train: what follows `python`: train.py and its options.
        folder: the run's.
        ranks: how many.
        by_torchrun: which passes the signal on; by hand every rank gets it.
        when: whether it is time, asked again and again.
        pause: seconds after that.
        nice: priority of everything in the run from just before the signal.

    Raises:
        RuntimeError: the run ended by itself, or it was not time within ten minutes.
    """
    with _started(train, ranks, by_torchrun=by_torchrun) as (processes, log):
        until = time.monotonic() + 600
        while not when():
            if time.monotonic() > until or any(process.poll() is not None for process in processes):
                raise RuntimeError(log.read_text(errors="replace"))
            time.sleep(0.02)
        time.sleep(pause)
        pids = training.ranks_below(processes[0].pid) if by_torchrun else [process.pid for process in processes]
        before = _checkpoints(folder)
        for process in processes if nice is not None else []:
            _set_priority([process.pid, *training.descendants(process.pid)], nice or 0)
        return _ask(processes, pids, folder, before, log)


def _ask(processes: list[subprocess.Popen[bytes]], pids: list[int], folder: Path, before: set[Path], log: Path) -> Left:
    began = time.monotonic()
    for process in processes:
        process.send_signal(signal.SIGTERM)
    saved = ended = None
    while any(process.poll() is None for process in processes):
        now = time.monotonic() - began
        if saved is None and _checkpoints(folder) - before:
            saved = now
        if ended is None and not any(map(_is_alive, pids)):
            ended = now
        if now > 600:
            raise RuntimeError(f"it does not leave\n{log.read_text(errors='replace')}")
        time.sleep(_POLL_SECONDS)
    launcher = time.monotonic() - began
    found = _checkpoints(folder)
    return Left(
        step=int(max(found).name.partition("-")[2]) if found else -1,
        checkpoint=saved if saved is not None or found == before else launcher,
        ranks=launcher if ended is None else ended,
        launcher=launcher,
        codes=[process.returncode for process in processes],
        said=log.read_text(errors="replace"),
    )


@contextmanager
def _started(
    train: Sequence[str], ranks: int, *, by_torchrun: bool
) -> Iterator[tuple[list[subprocess.Popen[bytes]], Path]]:
    with tempfile.TemporaryDirectory() as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": str(ranks)}
        probe.close()
        log = Path(place) / "log.txt"
        base = {key: value for key, value in training.environment().items() if key != "WANDB_SILENT"}
        launcher = [sys.executable, *((*_TORCHRUN, str(ranks)) if by_torchrun else ())]
        processes = []
        with log.open("ab") as file:
            for rank in range(1 if by_torchrun or ranks == 1 else ranks):
                own = {} if by_torchrun or ranks == 1 else {**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                processes.append(
                    subprocess.Popen(
                        [*launcher, *train], cwd=training.ROOT, env={**base, **own}, stdout=file, stderr=file
                    )
                )
        try:
            yield processes, log
        finally:
            for process in processes:
                for pid in (*training.descendants(process.pid), process.pid):
                    training.kill(pid)
                process.wait()


def _checkpoints(folder: Path) -> set[Path]:
    return set((folder / "checkpoints").glob("step-*"))


def _is_alive(pid: int) -> bool:
    """Neither gone nor, with its last thread, waiting for its parent to take notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def _set_priority(pids: list[int], nice: int) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)


def main() -> None:
    """Print a row for each way to start a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--nice", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    print("| ranks | started | checkpoint | last rank gone | launcher gone |\n|---|---|---:|---:|---:|")
    for ranks in (1, 2):
        for by_torchrun in (False, True):
            found = [
                _of_the_demo(options, ranks, by_torchrun, f"{ranks}-{by_torchrun:d}-{number}", dice)
                for number in range(options.times)
            ]
            cells = [
                f"{mean(row):.1f} ({min(row):.1f} to {max(row):.1f})"
                for row in zip(*((left.checkpoint or 0.0, left.ranks, left.launcher) for left in found), strict=True)
            ]
            print(f"| {ranks} | {'torchrun' if by_torchrun else 'by hand'} | {' | '.join(cells)} |", flush=True)


def _of_the_demo(options: argparse.Namespace, ranks: int, by_torchrun: bool, name: str, dice: random.Random) -> Left:
    places = ["--data.train", options.data / "train", "--data.validation", options.data / "validation"]
    train = ["train.py", "demo", *map(str, places), "--runs-dir", str(options.runs), "--name", name]
    train += ["--data.batch-size", str(64 // ranks)]
    step, pause = 8 * dice.randint(1, 2), dice.uniform(0, 3)  # the recipe logs every eighth
    load = Path("/proc/loadavg").read_text().split()[0]
    folder, nice = options.runs / name, options.nice
    has_come = lambda: last_step(folder) >= step  # noqa: E731
    left = leave(train, folder, ranks=ranks, by_torchrun=by_torchrun, when=has_come, pause=pause, nice=nice)
    assert left.codes == ([1] if by_torchrun else [75] * ranks), left.said
    times = f"checkpoint {left.checkpoint:.2f} s, ranks {left.ranks:.2f} s, launcher {left.launcher:.2f} s"
    print(f"{name}: asked after step {step}, left after {left.step}, {times}, load {load}", file=sys.stderr, flush=True)
    return left


if __name__ == "__main__":
    main()
