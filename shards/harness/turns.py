"""Taking turns: every contestant runs once per round, so that a busy moment of the machine hits all alike."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple


class Turn(NamedTuple):
    """One run: what was got through, wall-clock seconds, and seconds of CPU time of all its processes together."""

    num_items: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Something to time.

    Attributes:
        name: in the report.
        parallel: threads or processes that do the work.
        run: takes one turn.
        prepare: done ahead of each turn, to give every contestant the same start; not timed.
        clean: done after each turn, also one that failed; not timed.
        label: what is said while it runs; the name where this is empty.
        bytes_per_item: mean size of what it reads, for MB/s; 0 where nobody asks.
        start_seconds: from nothing to its first batch, for one that was started before its turns.
    """

    name: str
    parallel: int
    run: Callable[[], Turn]
    prepare: Callable[[], None] = lambda: None
    clean: Callable[[], None] = lambda: None
    label: str = ""
    bytes_per_item: float = 0.0
    start_seconds: float = 0.0


@dataclass(kw_only=True)
class Timing:
    """A contestant's turns, one per round."""

    contestant: Contestant
    turns: list[Turn] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Items per second of each round."""
        return [turn.num_items / turn.seconds for turn in self.turns]

    @property
    def cpu_ms(self) -> list[float]:
        """CPU milliseconds per item of each round."""
        return [1000 * turn.cpu_seconds / turn.num_items for turn in self.turns]

    @property
    def rate(self) -> float:
        """Items per second, the median of the rounds."""
        return median(self.rates)

    @property
    def cpu_ms_per_item(self) -> float:
        """CPU milliseconds per item, the median of the rounds."""
        return median(self.cpu_ms)

    @property
    def megabytes_per_second(self) -> float:
        """Of what is read, the median of the rounds."""
        return self.rate * self.contestant.bytes_per_item / 1e6


class Spread(NamedTuple):
    """Median and range of one figure over the rounds."""

    median: float
    lowest: float
    highest: float


def spread(values: Sequence[float]) -> Spread:
    """The spread of a figure's values, one per round."""
    return Spread(median(values), min(values), max(values))


def ratio(ours: Timing, peer: Timing) -> Spread:
    """Our items per second over a peer's, round by round: what slows a whole round down cancels."""
    return spread([a / b for a, b in zip(ours.rates, peer.rates, strict=True)])


def find(timings: Sequence[Timing], name: str, *, parallel: int | None = None) -> Timing | None:
    """The contestant of this name, of as many threads or processes if asked for; None if it did not take part."""
    named = (timing for timing in timings if timing.contestant.name == name)
    return next((timing for timing in named if parallel in (None, timing.contestant.parallel)), None)


def take_turns(contestants: Sequence[Contestant], *, rounds: int, say: Callable[[str], None]) -> list[Timing]:
    """Run each contestant once per round, in their order; `say` is told what is being done."""
    timings = [Timing(contestant=contestant) for contestant in contestants]
    for number in range(rounds):
        for timing in timings:
            contestant = timing.contestant
            say(f"round {number + 1} of {rounds}: {contestant.label or contestant.name}")
            try:
                contestant.prepare()
                timing.turns.append(contestant.run())
            finally:
                contestant.clean()
    return timings


def stopwatch(cpu_seconds: Callable[[], float] = time.process_time) -> Callable[[int], Turn]:
    """A function that gives the turn since now, told how many items it got through.

    `cpu_seconds` says whose CPU time counts: this process with all its threads, unless told otherwise.
    """
    cpu, began = cpu_seconds(), time.perf_counter()
    return lambda num_items: Turn(num_items, time.perf_counter() - began, cpu_seconds() - cpu)


def children_cpu_seconds() -> float:
    """CPU time of the processes that this one has waited for, and of all that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
