"""Figures in a process of their own, which is given up when one outlives its limit, and replaced when it is lost.

One process makes one figure after the other, because starting torch and DALI costs seconds. A figure that crashes it,
hangs, or leaves the CUDA context unusable costs that figure and a new start.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Self

from swav_dali.gpu_check.figures import Figure
from swav_dali.gpu_check.record import Status
from swav_dali.gpu_check.setting import Setting
from swav_dali.gpu_check.worker import work

Outcome = tuple[Status, float, dict[str, Any]]
_PATIENCE = 5.0


class Supervisor:
    """Starts the worker when a figure needs it; a context manager that leaves no process behind."""

    def __init__(self, setting: Setting) -> None:
        """Start nothing yet."""
        self._setting = setting
        self._context = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker and what it started."""
        if self._pipe is not None and self._process is not None:
            self._pipe.close()  # an idle worker ends by itself
            self._process.join(_PATIENCE)
        self._end()

    def run(self, figure: Figure, *, limit: float) -> Outcome:
        """Status, seconds and what was found, `value` or `error`, within `limit` seconds."""
        began = time.monotonic()
        pipe = self._pipe or self._start()
        try:
            pipe.send(figure)
            if not pipe.poll(limit):
                self._end()
                return "timed out", time.monotonic() - began, {"error": f"not done after {limit:.0f} s"}
            answer: dict[str, Any] = pipe.recv()
        except (EOFError, OSError):
            return "crashed", time.monotonic() - began, {"error": f"the process is gone, {self._exit_code()}"}
        if not answer.pop("is_sound"):
            answer["context"] = "the CUDA context was unusable afterwards; the process was replaced"
            self._end()
        return ("ok" if "value" in answer else "failed"), time.monotonic() - began, answer

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(target=work, args=(self._setting, theirs, os.getpid()))
        self._process.start()
        theirs.close()  # so that the end of the worker is the end of the pipe
        self._pipe = ours
        return ours

    def _exit_code(self) -> str:
        process = self._process
        if process is not None:
            process.join(10)
        code = None if process is None else process.exitcode
        self._end()
        return "still running" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"

    def _end(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is None or process.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # the worker leads a group, and what it starts stays in it
        process.kill()
        process.join()
