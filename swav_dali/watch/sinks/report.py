"""report.html in the run folder, drawn anew while the run goes, by a process of its own: no step waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from swav_dali.watch.sinks.base import Event, Record

CLOSE_SECONDS = 20.0


class ReportSink:
    """Starts `python -m swav_dali report` on the folder, at most once an interval and never two at a time."""

    def __init__(self, folder: Path, *, every_minutes: float) -> None:
        """Draw `folder`/report.html; first after one interval."""
        self._command = [sys.executable, "-m", "swav_dali", "report", str(folder)]
        self._interval = 60 * every_minutes
        self._started = time.monotonic()
        self._drawing: subprocess.Popen[bytes] | None = None

    def record(self, record: Record) -> None:
        """Start a drawing if one is due and none is under way; raises OSError when the last one failed."""
        if time.monotonic() - self._started >= self._interval and not self._is_drawing():
            self._refuse_failure()
            self._draw()

    def event(self, event: Event) -> None:
        """Events are read from events.jsonl by the next drawing."""

    def close(self, *, failed: bool = False) -> None:
        """Draw the end of the run; a failed one does not wait for it, since the other ranks wait for this one.

        Raises:
            OSError: it could not be drawn, or not within CLOSE_SECONDS.
        """
        if self._drawing is not None:
            self._drawing.kill()  # it does not know the end
            self._drawing.wait()
        drawing = self._draw()
        if failed:
            return
        try:
            drawing.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired as error:
            drawing.kill()
            drawing.wait()
            raise OSError(f"no report within {CLOSE_SECONDS:.0f} s") from error
        self._refuse_failure()

    def _is_drawing(self) -> bool:
        return self._drawing is not None and self._drawing.poll() is None

    def _refuse_failure(self) -> None:
        if self._drawing is not None and self._drawing.returncode:
            raise OSError(f"the report was not drawn; `{' '.join(self._command[1:])}` tells why")

    def _draw(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        nowhere = subprocess.DEVNULL
        self._drawing = subprocess.Popen(self._command, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        return self._drawing
