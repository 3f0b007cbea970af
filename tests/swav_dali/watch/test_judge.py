"""A verdict is told when it is sure or has been seen twice, and never for a moment too short to mean anything."""

from __future__ import annotations

from typing import Any

import pytest

from swav_dali.watch.judge import Judge, together

USUAL = {"images_per_second": [64.0], "data_wait_share": [0.02], "seconds_per_step": [0.5], "optimizer_ms": [5.0]}


def windows(judge: Judge, *seen: dict[str, list[float]], steps: int = 10) -> list[str]:
    told = [judge.see({**USUAL, **changes}, steps, None) for changes in seen]
    return [verdict.bound if verdict else "" for verdict in told]


SLOW: dict[str, list[float]] = {"optimizer_ms": [200.0]}
A_BIT_SLOW: dict[str, list[float]] = {"optimizer_ms": [90.0]}
WAITING: dict[str, list[float]] = {"data_wait_share": [0.6]}


def test_what_costs_much_is_told_at_once_and_its_end_when_it_lasts() -> None:
    told = windows(Judge(), {}, SLOW, SLOW, {}, SLOW, {}, {}, {})
    assert told == ["model-bound", "optimizer-bound", "", "", "", "", "model-bound", ""]


def test_what_costs_little_is_told_when_two_windows_in_a_row_say_so() -> None:
    assert windows(Judge(), {}, A_BIT_SLOW, {}, A_BIT_SLOW, A_BIT_SLOW) == [
        "model-bound",
        "",
        "",
        "",
        "optimizer-bound",
    ]
    assert windows(Judge(), A_BIT_SLOW, A_BIT_SLOW) == ["", "optimizer-bound"]


def test_short_windows_are_put_together() -> None:
    judge = Judge()
    short = {"seconds_per_step": [0.04], "optimizer_ms": [16.0]}
    assert windows(judge, short, short, short) == ["", "", "optimizer-bound"]
    judge.see({**USUAL, **short}, 10, None)
    judge.forget()
    assert windows(judge, short, short, short) == ["", "", ""]


def test_windows_together_are_their_mean_over_steps_rank_by_rank() -> None:
    assert together([(1, {"a": [1.0, 10.0]}), (3, {"a": [5.0, 30.0], "b": [1.0, 1.0]})]) == {"a": [4.0, 25.0]}


def test_decoding_is_measured_once_and_only_when_data_is_short() -> None:
    asked: list[int] = []

    def measure() -> float:
        asked.append(1)
        return 9.0

    busy: dict[str, Any] = {**WAITING, "pipeline_busy_share": [0.9], "pipeline_cpu_ms": [10.0]}
    judge = Judge(measure)
    assert windows(judge, {}) == ["model-bound"]
    assert not asked
    assert windows(judge, busy, busy, {}, busy) == ["input-bound by decode", "", "", ""]
    assert len(asked) == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_straggler_is_of_its_rank(rank: int) -> None:
    slow = [40.0, 40.0]
    slow[rank] = 300.0
    both = {name: values * 2 for name, values in USUAL.items()}
    verdict = Judge().see({**both, "forward_ms": slow}, 10, None)
    assert verdict is not None
    assert (verdict.bound, verdict.rank) == (f"straggler rank {rank}", rank)
