"""How far work is, on standard error: a bar on a terminal, a plain line every few seconds otherwise."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, NamedTuple, Self

PLAIN_SECONDS, TERMINAL_SECONDS = 5.0, 0.1
MB, GB = 1e6, 1e9


class Amount(NamedTuple):
    """Of work: bytes, and images where they are counted."""

    num_bytes: float
    images: float = 0


NOTHING = Amount(0)


class Progress:
    """A task of which it is known how much there is to do; a context manager, which says how it ended unless it failed.

    Args:
        title: before the figures.
        total: to be done. Without images in it, work is counted in GB.
        before: done by an earlier run, so that it does not count as speed.
    """

    def __init__(self, title: str, total: Amount, *, before: Amount = NOTHING) -> None:
        self._title, self._total, self._before, self._done = title, total, before, before
        self._lock, self._bar, self._task = threading.Lock(), _bar() if sys.stderr.isatty() else None, None
        self._said: Amount | None = None
        self._started = self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._task = self._bar.add_task(self._title, total=1.0, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._said != self._done:
            self._say()
        if self._bar is not None:
            self._bar.stop()

    def add(self, num_bytes: int) -> None:
        """So many more bytes are done, and as large a share of the images. May be called from several threads."""
        with self._lock:
            done = self._done.num_bytes + num_bytes
            share = min(done / max(self._total.num_bytes, 1), 1)
            self.show(Amount(done, share * self._total.images))

    def show(self, done: Amount) -> None:
        """So much is done in all."""
        self._done = done
        if time.monotonic() - self._said_at >= (PLAIN_SECONDS if self._bar is None else TERMINAL_SECONDS):
            self._say()

    def _say(self) -> None:
        self._said, self._said_at = self._done, time.monotonic()
        text = self._text(self._done, max(self._said_at - self._started, 1e-3))
        if self._bar is None:
            print(f"{self._title}: {text}", file=sys.stderr, flush=True)
        else:
            self._bar.update(self._task, completed=self._share(self._done), note=text)

    def _share(self, done: Amount) -> float:
        total = self._total
        return min(done.images / total.images if total.images else done.num_bytes / max(total.num_bytes, 1), 1)

    def _text(self, done: Amount, seconds: float) -> str:
        """What is done of how much, how fast, and the time that is left."""
        total, pace = self._total, (self._share(done) - self._share(self._before)) / seconds
        left = f"{clock((1 - self._share(done)) / pace)} left" if pace > 0 else "- left"
        speed = (done.num_bytes - self._before.num_bytes) / seconds / MB
        if not total.images:
            return f"{done.num_bytes / GB:,.2f}/{total.num_bytes / GB:,.2f} GB  {speed:,.0f} MB/s  {left}"
        rate = f"{(done.images - self._before.images) / seconds:,.0f} images/s"
        return f"{done.images:,.0f}/{total.images:,.0f} images  {rate}  {speed:,.1f} MB/s  {left}"


def clock(seconds: float) -> str:
    """A duration as h:mm:ss or m:ss."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, console=Console(stderr=True))
