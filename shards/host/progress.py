"""How far the writing is: a bar on a terminal, a plain line every few seconds otherwise.

Shards being written are counted in part by the size of their temporary files, which works for any executor that
shares the output folder and needs no channel to the workers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

PLAIN_SECONDS = 5.0
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class State:
    """Totals and what is done of them, in samples and tar bytes. Parts of unfinished shards count."""

    num_samples: int
    num_bytes: int
    samples_done: float
    bytes_done: int


class Display(Protocol):
    """Shows a state."""

    def show(self, state: State, *, is_last: bool = False) -> None: ...


@contextmanager
def open_display(title: str) -> Iterator[Display]:
    """A rich bar if standard error is a terminal, plain lines on it otherwise."""
    if sys.stderr.isatty():
        with _Bar(title) as bar:
            yield bar
    else:
        yield _Lines(title)


@dataclass(kw_only=True)
class Rate:
    """Samples and bytes per second since the first state seen, so that a resumed part does not count."""

    started: float = field(default_factory=time.monotonic)
    first: State | None = None

    def line(self, state: State) -> str:
        """Rate and time left, for a person."""
        self.first = self.first or state
        seconds = max(time.monotonic() - self.started, 1e-3)
        samples = (state.samples_done - self.first.samples_done) / seconds
        megabytes = (state.bytes_done - self.first.bytes_done) / seconds / MB
        left = f"{clock((state.num_samples - state.samples_done) / samples)} left" if samples > 0 else "- left"
        return f"{samples:,.0f} images/s  {megabytes:,.1f} MB/s  {left}"


def clock(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Lines:
    def __init__(self, title: str) -> None:
        self._title, self._rate, self._last = title, Rate(), time.monotonic()

    def show(self, state: State, *, is_last: bool = False) -> None:
        text = self._rate.line(state)
        if is_last or time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            done = f"{state.samples_done:,.0f}/{state.num_samples:,} images"
            print(f"{self._title}: {done}  {text}", file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task, self._rate = self._progress.add_task(title, total=1.0, note=""), Rate()

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, state: State, *, is_last: bool = False) -> None:
        note = self._rate.line(state)
        self._progress.update(self._task, total=state.num_samples, completed=state.samples_done, note=note)
