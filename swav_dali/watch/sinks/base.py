"""What a sink is, and the fan-out the trainer writes to.

A sink that cannot start is an error of its constructor; one that fails mid-run is dropped with a warning,
because a full disk on a dashboard must not cost the training. One that can wait for better times, as metrics.jsonl
does, stays and says so with a `SinkNotice`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from shards.errors import UserError
from swav_dali.errors import stop_behind

Value = float | int | str
Record = Mapping[str, Value]
"""One log step's figures; always with `step` and `epoch`. docs/figures.md lists the other keys."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once: a start, a changed verdict, a symptom, a warning, a stop asked for, the end."""

    kind: Literal[
        "start",
        "resume",
        "checkpoint",
        "headspace",
        "verdict",
        "trace",
        "health",
        "pictures",
        "evaluation",
        "warning",
        "stop",
        "end",
    ]
    step: int
    text: str
    path: str = ""
    """The file or folder it is about, if it is about one."""


class Sink(Protocol):
    """A destination of records and events; only rank 0 has any."""

    def record(self, record: Record) -> None: ...

    def event(self, event: Event) -> None: ...

    def close(self, *, failed: bool = False) -> None: ...


class SinkNotice(Exception):  # noqa: N818 (the sink goes on)
    """Raised by a sink that keeps what it was given and goes on; every sink is told its text as a warning."""


class SinkGroup:
    """Hands everything to each sink; one that fails is removed, and the others are told."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        """Write to `sinks`, in order; an empty group swallows everything (ranks other than 0)."""
        self._sinks = list(sinks)
        self._step = 0

    def record(self, record: Record) -> None:
        """Give one record to every sink."""
        self._step = int(record["step"])
        self._tell_each(lambda sink: sink.record(record))

    def event(self, event: Event) -> None:
        """Give one event to every sink."""
        self._step = event.step
        self._tell_each(lambda sink: sink.event(event))

    def __enter__(self) -> SinkGroup:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Close every sink; those that show how a run ended are told whether it failed."""
        try:
            self.close(failed=error is not None and stop_behind(error) is None)
        except UserError as lost:
            if error is None:
                raise
            warnings.warn(str(lost), stacklevel=2)  # what ended the run is what its user must read last

    def close(self, *, failed: bool = False) -> None:
        """Close every sink.

        Raises:
            UserError: a sink has lost something that nothing else keeps; the other sinks are closed first.
        """
        sinks, self._sinks = self._sinks, []
        lost: UserError | None = None
        for sink in sinks:
            try:
                sink.close(failed=failed)
            except UserError as failure:
                lost = lost or failure
            except Exception as failure:
                warnings.warn(f"{type(sink).__name__} did not close: {failure}", stacklevel=2)
        if lost is not None:
            raise lost

    def _tell_each(self, tell: Callable[[Sink], None]) -> None:
        failures = list[str]()
        for sink in list(self._sinks):
            try:
                tell(sink)
            except SinkNotice as notice:
                failures.append(str(notice))
            except Exception as failure:
                self._sinks.remove(sink)
                failures.append(f"{type(sink).__name__} failed and is switched off: {failure}")
        for text in failures:
            warnings.warn(text, stacklevel=3)
            self.event(Event("warning", self._step, text))
