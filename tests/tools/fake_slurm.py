"""Stand-ins for `srun` and `scontrol` on PATH: real tasks with the variables that srun sets, and a note of the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType


def install(folder: Path, *, tasks: int, job: int) -> dict[str, str]:
    """Write both into `folder`; the environment of a batch script that finds them first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("srun", "scontrol"):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__)}" {name} "$@"\n')
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "SLURM_JOB_ID": str(job), "FAKE_TASKS": str(tasks), "FAKE_NOTES": str(folder / "notes.txt")}


def notes(folder: Path) -> list[str]:
    """What `scontrol` was told, a line each."""
    path = folder / "notes.txt"
    return path.read_text().splitlines() if path.exists() else []


def _srun(words: list[str]) -> int:
    """Start every task here; hand USR1 and TERM to all; end them if one fails; the highest exit code."""
    command = words[next(i for i, word in enumerate(words) if not word.startswith("--")) :]
    size = int(os.environ["FAKE_TASKS"])
    tasks: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for task in tasks:
            task.send_signal(number)

    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, hand_on)
    shared = {"SLURM_NTASKS": str(size), "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": str(size)}
    for rank in range(size):
        own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_STEP_NODELIST": "localhost"}
        tasks.append(subprocess.Popen(command, env={**os.environ, **shared, **own}))
    while any(task.poll() is None for task in tasks):
        if any(task.poll() for task in tasks):  # --kill-on-bad-exit: SIGTERM, and SIGKILL after KillWait
            for task in tasks:
                task.terminate()
            until = time.monotonic() + 30
            while any(task.poll() is None for task in tasks) and time.monotonic() < until:
                time.sleep(0.05)
            for task in tasks:
                task.kill()
        time.sleep(0.05)
    return max(task.returncode if task.returncode >= 0 else 128 - task.returncode for task in tasks)


def _scontrol(words: list[str]) -> int:
    with Path(os.environ["FAKE_NOTES"]).open("a") as file:
        file.write(" ".join(words) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit({"srun": _srun, "scontrol": _scontrol}[sys.argv[1]](sys.argv[2:]))
