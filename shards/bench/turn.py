"""Taking turns: every contestant runs once per round, so that a busy moment of the machine hits all alike."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shards.bench import memory


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One run: wall-clock seconds, and seconds of CPU time of all its processes together."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Something to time.

    Attributes:
        name: in the report.
        processes: that do the work.
        num_images: pictures that one run goes through.
        num_bytes: of those pictures, as files.
        run: does it once; what it leaves behind is removed by `clean`.
        clean: not timed.
    """

    name: str
    processes: int
    num_images: int
    num_bytes: int
    run: Callable[[], Turn]
    clean: Callable[[], None] = lambda: None


@dataclass(kw_only=True)
class Timing:
    """A contestant's turns, one per round."""

    contestant: Contestant
    turns: list[Turn] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Images per second of each round."""
        return [self.contestant.num_images / turn.seconds for turn in self.turns]

    @property
    def cpu_ms(self) -> list[float]:
        """CPU milliseconds per image of each round."""
        return [1000 * turn.cpu_seconds / self.contestant.num_images for turn in self.turns]

    @property
    def megabytes_per_second(self) -> float:
        """Of the pictures' own bytes, median over the rounds."""
        return statistics.median(self.rates) * self.contestant.num_bytes / self.contestant.num_images / 1e6


def take_turns(contestants: Sequence[Contestant], *, rounds: int, say: Callable[[str], None]) -> list[Timing]:
    """Run each contestant once per round; `say` is told what is being done."""
    timings = [Timing(contestant=contestant) for contestant in contestants]
    for number in range(rounds):
        for timing in timings:
            say(f"round {number + 1} of {rounds}: {timing.contestant.name}")
            os.sync()  # or this one's writing would wait for the last one's
            memory.touch(timing.contestant.num_bytes)
            try:
                timing.turns.append(timing.contestant.run())
            finally:
                timing.contestant.clean()
    return timings


def stopwatch(who: int = resource.RUSAGE_SELF) -> Callable[[], Turn]:
    """A function that gives the time since now, with the CPU time of this process or of its children.

    Children count once they have been waited for, and with them all that they waited for.
    """
    cpu, began = _cpu_seconds(who), time.perf_counter()
    return lambda: Turn(seconds=time.perf_counter() - began, cpu_seconds=_cpu_seconds(who) - cpu)


def _cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
