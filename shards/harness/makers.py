"""Timing what makes batches without end: it stays open, waiting, and each turn lasts a few seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from shards.harness.turns import Contestant, Timing, Turn, stopwatch, take_turns

_TICKS = os.sysconf("SC_CLK_TCK")
QUIET_SECONDS, QUIET_CPU_SECONDS, MOST_WAITS = 0.05, 0.01, 100


class Maker(Protocol):
    """An endless source of batches: a loader, a part of one, training steps."""

    def run(self) -> int:
        """Make the next batch, and wait for it where a device makes it; returns its number of images."""
        ...

    def workers(self) -> Sequence[int]:
        """Process ids of helpers, whose CPU time counts; that of this process is counted anyway."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A maker before it is opened.

    Attributes:
        name: in the report.
        threads: threads or worker processes that it may use.
        ahead: batches it prepares in advance, run and not counted before every turn.
        open: starts it.
        bytes_per_item: mean size of an encoded picture, for MB/s.
    """

    name: str
    threads: int
    ahead: int
    open: Callable[[], Maker]
    bytes_per_item: float = 0.0


def measure(entries: Sequence[Entry], *, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Timing]:
    """Time every entry `rounds` times for at least `seconds`; all stay open, waiting, until the end."""
    makers: list[Maker] = []
    contestants: list[Contestant] = []
    with ExitStack() as stack:
        for entry in entries:
            label = f"{entry.name}, {entry.threads} thread(s)"
            say(f"opening {label}")
            began = time.perf_counter()
            maker = stack.enter_context(closing(entry.open()))
            maker.run()
            makers.append(maker)
            contestants.append(
                Contestant(
                    name=entry.name,
                    parallel=entry.threads,
                    run=partial(_run_for, seconds, maker, ahead=entry.ahead),
                    prepare=partial(_settle, makers),
                    label=label,
                    bytes_per_item=entry.bytes_per_item,
                    start_seconds=time.perf_counter() - began,
                )
            )
        return take_turns(contestants, rounds=rounds, say=say)


def _run_for(seconds: float, maker: Maker, *, ahead: int) -> Turn:
    for _ in range(ahead + 1):
        maker.run()
    num_images, elapsed, began = 0, stopwatch(partial(_cpu_seconds, [maker])), time.perf_counter()
    while time.perf_counter() - began < seconds:
        num_images += maker.run()
    return elapsed(num_images)


def _settle(makers: Iterable[Maker]) -> None:
    """Wait until what others prepare ahead is prepared: their threads would be counted as this one's."""
    for _ in range(MOST_WAITS):
        before = _cpu_seconds(makers)
        time.sleep(QUIET_SECONDS)
        if _cpu_seconds(makers) - before < QUIET_CPU_SECONDS:
            return


def _cpu_seconds(makers: Iterable[Maker]) -> float:
    """CPU time of this process with all its threads and of the makers' helpers."""
    return time.process_time() + sum(_of_process(pid) for maker in makers for pid in maker.workers())


def _of_process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
