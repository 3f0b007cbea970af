"""What a sink is, and the fan-out the trainer writes to.

A sink that cannot start is an error of its constructor; one that fails mid-run is dropped with a warning,
because a full disk on a dashboard must not cost the training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Value = float | int | str
Record = Mapping[str, Value]
"""One log step's figures; always with `step` and `epoch`. The README lists the other keys."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once: a start, a resume, a checkpoint, a warning, the end."""

    kind: Literal["start", "resume", "checkpoint", "warning", "end"]
    step: int
    text: str


class Sink(Protocol):
    """A destination of records and events; only rank 0 has any."""

    def record(self, record: Record) -> None: ...

    def event(self, event: Event) -> None: ...

    def close(self) -> None: ...


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

    def close(self) -> None:
        """Close every sink."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as failure:
                warnings.warn(f"{type(sink).__name__} did not close: {failure}", stacklevel=2)
        self._sinks = []

    def _tell_each(self, tell: Callable[[Sink], None]) -> None:
        failures = list[str]()
        for sink in list(self._sinks):
            try:
                tell(sink)
            except Exception as failure:
                self._sinks.remove(sink)
                failures.append(f"{type(sink).__name__} failed and is switched off: {failure}")
        for text in failures:
            warnings.warn(text, stacklevel=3)
            self.event(Event("warning", self._step, text))
