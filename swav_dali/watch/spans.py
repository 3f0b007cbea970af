"""How long the named parts of a step take, without waiting for the device.

Work on a CUDA device is timed by events on its stream, which are read once they have passed; what is still under way
when the figures are read counts in the next reading. A host clock around such work would measure how long it takes to
queue it. Work on the CPU, and waiting on the host, is timed by the clock.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

_Timed = tuple[str, torch.cuda.Event, torch.cuda.Event]


@dataclass(slots=True)
class _Step:
    """What was timed in one step: seconds of the host by name, and pairs of events."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    events: list[_Timed] = field(default_factory=list)

    def has_passed(self) -> bool:
        return not self.events or self.events[-1][2].query()  # events of one stream pass in their order


class Spans:
    """Seconds of named parts, step by step.

    `spans(name)` times work on the device, `spans.host(name)` what the host does or waits for; both are context
    managers and may be entered several times in a step.
    """

    def __init__(self, device: torch.device) -> None:
        """Time work on `device`."""
        self._is_cuda = device.type == "cuda"
        self._free: list[torch.cuda.Event] = []
        self._steps: deque[_Step] = deque()
        self._current = _Step()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the device's work that the block queues."""
        if not self._is_cuda:
            with self.host(name):
                yield
            return
        began, ended = self._event(), self._event()
        began.record()
        yield
        ended.record()
        self._current.events.append((name, began, ended))

    @contextlib.contextmanager
    def host(self, name: str) -> Iterator[None]:
        """Time the block by the clock."""
        began = time.perf_counter()
        yield
        self._current.seconds[name] += time.perf_counter() - began

    def end_step(self) -> None:
        """What is timed from here on belongs to the next step."""
        self._steps.append(self._current)
        self._current = _Step()

    def read(self) -> dict[str, float]:
        """Mean seconds per step of every part, over the steps that have passed since the last reading."""
        totals: dict[str, float] = defaultdict(float)
        count = 0
        while self._steps and self._steps[0].has_passed():
            count += 1
            self._add(self._steps.popleft(), totals)
        return {name: seconds / count for name, seconds in totals.items()}

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Steps of the block are their own: those before it and after it are read as if it were not there."""
        kept = self._steps, self._current
        self._steps, self._current = deque(), _Step()
        yield
        self._steps, self._current = kept

    def _add(self, step: _Step, totals: dict[str, float]) -> None:
        for name, seconds in step.seconds.items():
            totals[name] += seconds
        for name, began, ended in step.events:
            totals[name] += began.elapsed_time(ended) / 1000
            self._free += [began, ended]

    def _event(self) -> torch.cuda.Event:
        return self._free.pop() if self._free else torch.cuda.Event(enable_timing=True)
