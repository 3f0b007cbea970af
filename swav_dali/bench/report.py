"""What the bench says of steps: a table, a ratio of CPU time with its range, and a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shards.harness import report
from shards.harness.report import Column
from shards.harness.turns import Spread, Timing, find, spread
from swav_dali.bench.lineup import OURS, PLAIN, SCORING

PACKAGES = ("torch", "numpy")


def table(timings: Sequence[Timing]) -> list[str]:
    """A line per contestant: milliseconds of a step by CPU time and by the clock, and how much less than the loop."""
    columns = (
        Column("CPU-ms", 8, lambda timing: f"{spread(timing.cpu_ms).median:.2f}"),
        Column("range", 17, lambda timing: _range(spread(timing.cpu_ms))),
        Column("ms", 8, lambda timing: f"{1000 / timing.rate:.2f}"),
        Column("x faster", 9, lambda timing: _times(speedup(timing, timings))),
        Column("range", 13, lambda timing: _range(speedup(timing, timings))),
    )
    return report.table(timings, columns, name_width=24)


def speedup(timing: Timing, timings: Sequence[Timing]) -> Spread:
    """CPU time of the published loop over that of `timing`, round by round."""
    plain = find(timings, PLAIN)
    assert plain is not None, "every line-up has it"
    return spread([theirs / ours for theirs, ours in zip(plain.cpu_ms, timing.cpu_ms, strict=True)])


def sentence(timings: Sequence[Timing]) -> str:
    """What it comes to, and what no head can be faster than."""
    ours, scoring = find(timings, OURS), find(timings, SCORING)
    assert ours is not None, "every line-up has it"
    found = speedup(ours, timings)
    said = f"{found.median:.2f} times the published loop by CPU time ({_range(found)} over {len(ours.turns)} rounds)."
    if scoring is None:
        return said
    floor = spread(scoring.cpu_ms).median
    without = spread(
        [
            (plain - product) / (own - product)
            for plain, own, product in zip(_plain_ms(timings), ours.cpu_ms, scoring.cpu_ms, strict=True)
        ]
    )
    return (
        f"{said} {floor:.1f} CPU-ms of either are one matrix product, the queue by the prototypes; "
        f"without it {without.median:.2f} times ({_range(without)})."
    )


def write_record(path: Path, timings: Sequence[Timing], *, setting: Mapping[str, object]) -> None:
    """Write everything as JSON; see shards.harness.report.write_record."""
    results = [
        {
            "name": timing.contestant.name,
            "cpu_ms_per_step": timing.cpu_ms,
            "ms_per_step": [1000 / rate for rate in timing.rates],
            "times_faster": speedup(timing, timings)._asdict(),
        }
        for timing in timings
    ]
    report.write_record(path, results, setting=setting, packages=PACKAGES)


def _plain_ms(timings: Sequence[Timing]) -> list[float]:
    plain = find(timings, PLAIN)
    assert plain is not None, "every line-up has it"
    return plain.cpu_ms


def _range(figure: Spread) -> str:
    return f"{figure.lowest:.2f} to {figure.highest:.2f}"


def _times(figure: Spread) -> str:
    return f"{figure.median:.2f}"
