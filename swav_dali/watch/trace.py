"""One profiler trace per kind of verdict: what the next steps do, operator by operator, for chrome://tracing.

A trace slows the steps it covers and weighs megabytes, so it is an option, of STEPS steps, on one rank, and never a
second time for the same kind, resumed or not.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

STEPS = 20
MOST_TRACES = 12
"""In a run folder."""
MOST_MIB = 64
"""A larger one is thrown away: no viewer opens it."""


class Tracer:
    """Traces steps of this process when asked."""

    def __init__(self, folder: Path, *, is_on: bool, device: torch.device) -> None:
        """Write below `folder`; nothing unless `is_on`."""
        self._folder, self._is_on = folder, is_on
        self._activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        self._profile: profile | None = None
        self._path = Path()
        self._left = 0
        self._has_run = False

    @property
    def is_running(self) -> bool:
        """Whether steps are being traced."""
        return self._left > 0

    def has_run(self) -> bool:
        """Whether steps were traced since the last call."""
        has_run, self._has_run = self._has_run, self.is_running
        return has_run

    def wants(self, kind: str) -> bool:
        """Whether a trace of this kind of verdict is wanted and there is none yet."""
        taken = list(self._folder.glob("*.json.gz"))
        is_new = not any(path.name.endswith(f"-{_word(kind)}.json.gz") for path in taken)
        return self._is_on and not self.is_running and is_new and len(taken) < MOST_TRACES

    def path(self, kind: str, step: int) -> Path:
        """Where a trace that begins after `step` is written."""
        return self._folder / f"step-{step:08d}-{_word(kind)}.json.gz"

    def begin(self, kind: str, step: int) -> None:
        """Trace the STEPS steps after `step`."""
        self._path, self._left = self.path(kind, step), STEPS
        self._has_run = True
        self._profile = profile(activities=self._activities)
        self._profile.start()

    def step(self) -> str | None:
        """Count a step; after the last one write the trace, and say what is wrong with it if something is."""
        if self._profile is None:
            return None
        self._left -= 1
        if self._left:
            return None
        traced, self._profile = self._profile, None
        traced.stop()
        try:
            return self._write(traced)
        except OSError as error:
            return f"the trace cannot be written: {error}"

    def _write(self, traced: profile) -> str | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:  # a name of its own until it is whole
            written = Path(scratch) / self._path.name
            traced.export_chrome_trace(str(written))
            if written.stat().st_size > MOST_MIB * 2**20:
                return f"the trace is larger than {MOST_MIB} MiB and is not kept"
            written.rename(self._path)
        return None


def _word(kind: str) -> str:
    return re.sub(r"\W+", "-", kind)
