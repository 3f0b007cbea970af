"""The harness takes turns, counts what it should, and its figures add up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.harness.makers import Entry, measure
from shards.harness.report import Column, figures, table, write_record
from shards.harness.turns import (
    Contestant,
    Timing,
    Turn,
    children_cpu_seconds,
    find,
    ratio,
    stopwatch,
    take_turns,
)


def nothing(text: str) -> None:
    assert text


def contestant(name: str, run: Callable[[], Turn], **more: Callable[[], None]) -> Contestant:
    return Contestant(name=name, parallel=1, run=run, bytes_per_item=50_000, **more)


def timing(name: str, *turns: tuple[float, float], parallel: int = 1) -> Timing:
    """100 items a turn; (seconds, CPU seconds) of each."""
    entry = Contestant(name=name, parallel=parallel, run=lambda: Turn(100, 1, 1), bytes_per_item=50_000)
    return Timing(contestant=entry, turns=[Turn(100, *turn) for turn in turns])


def test_rounds_go_through_all_contestants_and_each_is_prepared_and_cleaned_up_after() -> None:
    calls: list[str] = []

    def note(text: str) -> Turn:
        calls.append(text)
        return Turn(1, 1, 1)

    entries = [
        contestant(
            name,
            lambda name=name: note(name),
            prepare=lambda name=name: calls.append(f"+{name}"),
            clean=lambda name=name: calls.append(f"-{name}"),
        )
        for name in "ab"
    ]
    timings = take_turns(entries, rounds=2, say=nothing)
    assert calls == ["+a", "a", "-a", "+b", "b", "-b"] * 2
    assert [len(each.turns) for each in timings] == [2, 2]


def test_what_a_failing_contestant_wrote_is_removed() -> None:
    cleaned: list[bool] = []

    def fail() -> Turn:
        raise ShardError("no")

    with pytest.raises(ShardError, match="no"):
        take_turns([contestant("a", fail, clean=lambda: cleaned.append(True))], rounds=1, say=nothing)
    assert cleaned == [True]


def test_stopwatches_count_their_own_time_and_that_of_finished_children() -> None:
    own, children = stopwatch(), stopwatch(children_cpu_seconds)
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    mine, theirs = own(5), children(7)
    assert (mine.num_items, theirs.num_items) == (5, 7)
    assert theirs.cpu_seconds > mine.cpu_seconds
    assert mine.seconds >= theirs.cpu_seconds / os.cpu_count()  # type: ignore[operator]


def test_rates_costs_and_spreads_are_medians_and_ranges_of_the_rounds() -> None:
    slow, quick = timing("slow", (4, 2), (2, 3), (1, 1)), timing("quick", (1, 1), (1, 1), (2, 1))
    assert slow.rates == [25, 50, 100]
    assert (slow.rate, slow.cpu_ms_per_item, slow.megabytes_per_second) == (50, 20, 2.5)
    assert ratio(quick, slow) == pytest.approx((2, 0.5, 4))  # of 4, 2 and 0.5, round by round


def test_contestants_are_found_by_name_and_size() -> None:
    timings = [timing("a", (1, 1)), timing("a", (1, 1), parallel=2)]
    assert find(timings, "a") is timings[0]
    assert find(timings, "a", parallel=2) is timings[1]
    assert find(timings, "b") is None


def test_a_table_lines_up_and_a_record_is_json(tmp_path: Path) -> None:
    timings = [timing("first", (1, 1)), timing("second", (2, 1))]
    assert table(timings, [Column("rate", 6, lambda t: f"{t.rate:.1f}")], name_width=8) == [
        "           rate",
        "first     100.0",
        "second     50.0",
    ]
    write_record(
        tmp_path / "x.json", [figures(t) for t in timings], setting={"a": 1, "run": print}, packages=["pytest"], more=2
    )
    record = json.loads((tmp_path / "x.json").read_text())
    assert record["setting"] == {"a": "1"}
    assert record["host"]["versions"] == {"pytest": pytest.__version__}
    assert (record["more"], [result["images_per_second"] for result in record["results"]]) == (2, [100, 50])


class Counter:
    """Five images at a time, at once."""

    def __init__(self, workers: Sequence[int] = ()) -> None:
        self.runs, self.is_closed, self._workers = 0, False, workers

    def run(self) -> int:
        self.runs += 1
        return 5

    def workers(self) -> Sequence[int]:
        return self._workers

    def close(self) -> None:
        self.is_closed = True


def test_makers_alternate_and_what_was_prepared_ahead_is_not_counted() -> None:
    counters = [Counter(), Counter()]
    entries = [Entry(name=f"c{k}", threads=1, ahead=3, open=lambda k=k: counters[k]) for k in range(2)]
    said: list[str] = []
    timings = measure(entries, rounds=2, seconds=0.0, say=said.append)
    assert [text.split(": ")[1] for text in said[2:]] == ["c0, 1 thread(s)", "c1, 1 thread(s)"] * 2
    for counter, each in zip(counters, timings, strict=True):
        assert counter.is_closed
        assert len(each.turns) == 2
        assert counter.runs * 5 == sum(turn.num_items for turn in each.turns) + 5 * (1 + 2 * 4)


def test_the_cpu_time_of_a_makers_helpers_counts() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)  # until it runs
        entries = [Entry(name="a", threads=1, ahead=0, open=lambda: Waiting([busy.pid]))]
        (found,) = measure(entries, rounds=1, seconds=0.5, say=nothing)
    finally:
        busy.kill()
        busy.wait()
    assert found.turns[0].cpu_seconds > 0.1


class Waiting(Counter):
    """Makes a batch in 20 ms without working for it."""

    def run(self) -> int:
        time.sleep(0.02)
        return super().run()
