"""What the bench says: a table, what start-up takes, and how a build compares with its peers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shards.bench.lineup import BUILD, BUILD_FAST, DECODE, SHARD_WRITER, START_UP, TAR
from shards.harness import report
from shards.harness.report import Column
from shards.harness.turns import Spread, Timing, find, ratio, spread

PACKAGES = ("simplejpeg", "pillow", "webdataset", "xxhash")


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


class Comparison(NamedTuple):
    """Our images per second over a peer's, by the rounds' ratios.

    Attributes:
        wall: by the clock, of the whole command.
        after_start: as `wall`, with our start-up left out, median.
        per_cpu: per second of CPU time, with our start-up left out, median.
    """

    wall: Spread
    after_start: float
    per_cpu: float


def table(timings: Sequence[Timing]) -> list[str]:
    """A line per contestant; MB are of the pictures as files."""
    columns = (
        Column("processes", 9, lambda timing: f"{timing.contestant.parallel:d}"),
        Column("images", 7, lambda timing: f"{timing.turns[0].num_items:,d}"),
        Column("images/s", 9, lambda timing: f"{timing.rate:,.0f}"),
        Column("(spread)", 17, lambda timing: f"({min(timing.rates):,.0f}-{max(timing.rates):,.0f})"),
        Column("MB/s", 7, lambda timing: f"{timing.megabytes_per_second:,.0f}"),
        Column("CPU-ms/image", 13, lambda timing: f"{timing.cpu_ms_per_item:.3f}"),
    )
    return report.table(timings, columns, name_width=24)


def sentences(timings: Sequence[Timing]) -> list[str]:
    """What start-up takes, then each goal: reached or not, also without start-up and per CPU second."""
    seconds, cpu_seconds = _start_up(timings)
    start = f"start-up of a build: {seconds:.2f} s, {cpu_seconds:.2f} s of CPU time; its rates above have it in them"
    return [start, *(_sentence(goal, compare(goal, timings)) for goal in GOALS)]


def compare(goal: Goal, timings: Sequence[Timing]) -> Comparison:
    """How a goal's two contestants compare, round by round."""
    ours, peer = _timing(timings, goal.ours), _timing(timings, goal.peer)
    seconds, cpu_seconds = _start_up(timings)
    rounds = list(zip(ours.turns, ours.rates, peer.rates, peer.cpu_ms, strict=True))
    after = [rate / other * turn.seconds / (turn.seconds - seconds) for turn, rate, other, _ in rounds]
    per_cpu = [cost * turn.num_items / 1000 / (turn.cpu_seconds - cpu_seconds) for turn, _, _, cost in rounds]
    return Comparison(ratio(ours, peer), spread(after).median, spread(per_cpu).median)


def write_record(path: Path, timings: Sequence[Timing], *, setting: dict[str, object]) -> None:
    """Write everything as JSON; see `shards.harness.report.write_record`."""
    results = [
        report.figures(timing)
        | {
            "processes": timing.contestant.parallel,
            "images": timing.turns[0].num_items,
            "bytes": round(timing.contestant.bytes_per_item * timing.turns[0].num_items),
            "mb_per_second": timing.megabytes_per_second,
        }
        for timing in timings
    ]
    goals = [goal._asdict() | {"ratio": _as_json(compare(goal, timings))} for goal in GOALS]
    report.write_record(path, results, setting=setting, packages=PACKAGES, goals=goals)


def _as_json(found: Comparison) -> dict[str, Any]:
    wall, lowest, highest = found.wall
    return found._asdict() | {"wall": wall, "lowest": lowest, "highest": highest}


def _sentence(goal: Goal, found: Comparison) -> str:
    met = "reached" if found.wall.median >= goal.at_least else "missed"
    return (
        f"({goal.letter}) {goal.claim.format(_times(found.wall.median, goal))} "
        f"({_times(found.wall.lowest, goal)} to {_times(found.wall.highest, goal)}; "
        f"goal {_times(goal.at_least, goal)}: {met}); "
        f"start-up left out {_times(found.after_start, goal)}, and per CPU second {_times(found.per_cpu, goal)}"
    )


def _times(ratio: float, goal: Goal) -> str:
    return f"{100 * ratio:.0f} %" if goal.at_least < 1 else f"{ratio:.1f} x"


def _start_up(timings: Sequence[Timing]) -> tuple[float, float]:
    """Seconds by the clock and of CPU time, medians."""
    turns = _timing(timings, START_UP).turns
    return spread([turn.seconds for turn in turns]).median, spread([turn.cpu_seconds for turn in turns]).median


def _timing(timings: Sequence[Timing], name: str) -> Timing:
    found = find(timings, name)
    assert found is not None, name
    return found
