"""Timing contestants in turns: each gets a few seconds per round, so that a busy moment of the host hits all alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.bench.contestant import Contestant, Entry

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, kw_only=True)
class Timing:
    """What one contestant did, a list item per round; `start_seconds` is from nothing to its first batch."""

    name: str
    threads: int
    start_seconds: float = 0.0
    images: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    @property
    def images_per_second(self) -> float:
        """Median over the rounds."""
        return statistics.median(count / taken for count, taken in zip(self.images, self.seconds, strict=True))

    @property
    def cpu_ms_per_image(self) -> float:
        """Milliseconds of one core per image, median over the rounds."""
        return statistics.median(
            1000 * taken / count for count, taken in zip(self.images, self.cpu_seconds, strict=True)
        )


def measure(entries: Sequence[Entry], *, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Timing]:
    """Time every entry `rounds` times for at least `seconds`; all stay open, waiting, until the end.

    Args:
        entries: in the order of their turns.
        rounds: turns of each.
        seconds: shortest length of a turn.
        say: told what is being done.
    """
    timings = [Timing(name=entry.name, threads=entry.threads) for entry in entries]
    with ExitStack() as stack:
        opened = []
        for entry, timing in zip(entries, timings, strict=True):
            say(f"opening {entry.name}, {entry.threads} thread(s)")
            began = time.perf_counter()
            contestant = stack.enter_context(closing(entry.open()))
            contestant.run()
            timing.start_seconds = time.perf_counter() - began
            opened.append(contestant)
        for turn in range(rounds):
            for entry, timing, contestant in zip(entries, timings, opened, strict=True):
                say(f"round {turn + 1} of {rounds}: {entry.name}, {entry.threads} thread(s)")
                _settle(opened)
                _take_turn(contestant, entry, timing, seconds)
    return timings


def _take_turn(contestant: Contestant, entry: Entry, timing: Timing, seconds: float) -> None:
    for _ in range(entry.ahead + 1):
        contestant.run()
    images, cpu, began = 0, _cpu_seconds([contestant]), time.perf_counter()
    while time.perf_counter() - began < seconds:
        images += contestant.run()
    timing.images.append(images)
    timing.seconds.append(time.perf_counter() - began)
    timing.cpu_seconds.append(_cpu_seconds([contestant]) - cpu)


def _settle(opened: Iterable[Contestant]) -> None:
    """Wait until what others prepare ahead is prepared: their threads would be counted as this one's."""
    contestants = list(opened)
    for _ in range(100):
        before = _cpu_seconds(contestants)
        time.sleep(0.05)
        if _cpu_seconds(contestants) - before < 0.01:
            return


def _cpu_seconds(contestants: Iterable[Contestant]) -> float:
    """CPU time of this process with all its threads and of the contestants' helpers."""
    return time.process_time() + sum(_of_process(pid) for each in contestants for pid in each.workers())


def _of_process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
