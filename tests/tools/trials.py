"""Many trials by several workers: each takes the next from a counter and appends what came of it to one file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

Job = TypeVar("Job")
Entry = dict[str, Any]


def share_out(jobs: Sequence[Job], act: Callable[[Job], Entry], results: Path, *, workers: int) -> None:
    """Do `act` with every job, in `workers` forked processes; its entries become lines of `results`."""
    counter = results.with_name(f"next-{os.getpid()}")
    counter.write_text("0")
    pids = []
    for _ in range(workers):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                while (index := _next(counter)) < len(jobs):
                    append_entry(results, act(jobs[index]))
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    counter.unlink()


def append_entry(results: Path, entry: Entry) -> None:
    """Add a line, whole also where several processes add theirs."""
    with results.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(entry) + "\n")


def read_entries(results: Path) -> list[Entry]:
    """All lines; none of a file that is not there."""
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()] if results.exists() else []


def _next(counter: Path) -> int:
    with counter.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        index = int(file.read())
        file.seek(0)
        file.write(str(index + 1))
    return index
