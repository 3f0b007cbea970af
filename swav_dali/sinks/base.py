"""What a sink is, and the fan-out the trainer writes to.

A sink that cannot start is an error of its constructor; one that fails mid-run is dropped with a warning,
because a full disk on a dashboard must not cost the training.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
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
    """Hands everything to each sink; one that fails is removed with a warning."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        """Write to `sinks`, in order; an empty group swallows everything (ranks other than 0)."""
        self._sinks = list(sinks)

    def record(self, record: Record) -> None:
        """Give one record to every sink."""
        for sink in list(self._sinks):
            self._guard(sink, lambda sink=sink: sink.record(record))

    def event(self, event: Event) -> None:
        """Give one event to every sink."""
        for sink in list(self._sinks):
            self._guard(sink, lambda sink=sink: sink.event(event))

    def close(self) -> None:
        """Close every sink."""
        for sink in list(self._sinks):
            self._guard(sink, sink.close)

    def _guard(self, sink: Sink, call: object) -> None:
        assert callable(call)
        try:
            call()
        except Exception as failure:
            self._sinks.remove(sink)
            warnings.warn(f"{type(sink).__name__} failed and is switched off: {failure}", stacklevel=3)
