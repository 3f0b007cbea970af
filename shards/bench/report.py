"""A bench's figures for people and for programs: a table, three sentences, a JSON record."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from shards.bench.lineup import BUILD, BUILD_FAST, DECODE, SHARD_WRITER, START_UP, TAR
from shards.bench.turn import Timing

_HEAD = f"{'':24} {'processes':>9} {'images':>7} {'images/s':>9} {'(spread)':>17} {'MB/s':>7} {'CPU-ms/image':>13}"


class Goal(NamedTuple):
    """A ratio of images/s that a build should reach: `ours` over `peer`."""

    letter: str
    ours: str
    peer: str
    at_least: float
    claim: str


GOALS = (
    Goal("a", BUILD_FAST, TAR, 0.8, "build --no-decode writes {} of the bytes per second of tar cf"),
    Goal("b", BUILD, DECODE, 0.85, "build with every picture verified runs at {} of the rate of decoding alone"),
    Goal("c", BUILD, SHARD_WRITER, 5.0, "build with every picture verified runs at {} of ShardWriter's rate"),
)


class Ratio(NamedTuple):
    """Our images per second over a peer's, the median of the rounds' ratios.

    Attributes:
        wall: by the clock, of the whole command.
        lowest: of the rounds' `wall`.
        highest: of the rounds' `wall`.
        after_start: as `wall`, with our start-up left out.
        per_cpu: per second of CPU time, with our start-up left out.
    """

    wall: float
    lowest: float
    highest: float
    after_start: float
    per_cpu: float


def table(timings: Sequence[Timing]) -> list[str]:
    """A line per contestant; MB are of the pictures as files."""
    lines = [_HEAD]
    for timing in timings:
        who, rates = timing.contestant, timing.rates
        spread = f"({min(rates):,.0f}-{max(rates):,.0f})"
        lines.append(
            f"{who.name:24} {who.processes:9d} {who.num_images:7,d} {median(rates):9,.0f} {spread:>17} "
            f"{timing.megabytes_per_second:7,.0f} {median(timing.cpu_ms):13.3f}"
        )
    return lines


def sentences(timings: Sequence[Timing]) -> list[str]:
    """What start-up takes, then each goal: reached or not, also without start-up and per CPU second."""
    seconds, cpu_seconds = _start_up(timings)
    start = f"start-up of a build: {seconds:.2f} s, {cpu_seconds:.2f} s of CPU time; its rates above have it in them"
    return [start, *(_sentence(goal, ratio_of(goal, timings)) for goal in GOALS)]


def ratio_of(goal: Goal, timings: Sequence[Timing]) -> Ratio:
    """How a goal's two contestants compare, round by round."""
    ours, peer = _find(timings, goal.ours), _find(timings, goal.peer)
    seconds, cpu_seconds = _start_up(timings)
    wall = [a / b for a, b in zip(ours.rates, peer.rates, strict=True)]
    after = [ratio * turn.seconds / (turn.seconds - seconds) for ratio, turn in zip(wall, ours.turns, strict=True)]
    costs = [1000 * (turn.cpu_seconds - cpu_seconds) / ours.contestant.num_images for turn in ours.turns]
    per_cpu = [b / a for a, b in zip(costs, peer.cpu_ms, strict=True)]
    return Ratio(median(wall), min(wall), max(wall), median(after), median(per_cpu))


def _start_up(timings: Sequence[Timing]) -> tuple[float, float]:
    """Seconds by the clock and of CPU time."""
    turns = _find(timings, START_UP).turns
    return median(turn.seconds for turn in turns), median(turn.cpu_seconds for turn in turns)


def record(timings: Sequence[Timing], *, setting: dict[str, Any]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "schema": 1,
        "host": {
            "cores": len(os.sched_getaffinity(0)),
            "cpu": _cpu(),
            "load": os.getloadavg(),
            "versions": _versions(),
        },
        "setting": setting,
        "goals": [goal._asdict() | {"ratio": ratio_of(goal, timings)._asdict()} for goal in GOALS],
        "results": [
            {
                "name": timing.contestant.name,
                "processes": timing.contestant.processes,
                "images": timing.contestant.num_images,
                "bytes": timing.contestant.num_bytes,
                "images_per_second": median(timing.rates),
                "mb_per_second": timing.megabytes_per_second,
                "cpu_ms_per_image": median(timing.cpu_ms),
                "seconds": [turn.seconds for turn in timing.turns],
                "cpu_seconds": [turn.cpu_seconds for turn in timing.turns],
            }
            for timing in timings
        ],
    }


def _sentence(goal: Goal, ratio: Ratio) -> str:
    met = "reached" if ratio.wall >= goal.at_least else "missed"
    return (
        f"({goal.letter}) {goal.claim.format(_times(ratio.wall, goal))} "
        f"({_times(ratio.lowest, goal)} to {_times(ratio.highest, goal)}; goal {_times(goal.at_least, goal)}: {met}); "
        f"start-up left out {_times(ratio.after_start, goal)}, and per CPU second {_times(ratio.per_cpu, goal)}"
    )


def _times(ratio: float, goal: Goal) -> str:
    return f"{100 * ratio:.0f} %" if goal.at_least < 1 else f"{ratio:.1f} x"


def _find(timings: Sequence[Timing], name: str) -> Timing:
    return next(timing for timing in timings if timing.contestant.name == name)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("simplejpeg", "pillow", "webdataset", "xxhash")}
