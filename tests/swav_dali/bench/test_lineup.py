"""The bench compares equals: the restated loop and our code do the same, and the report says by how much."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.recipes import parse_crops
from shards.harness.turns import Contestant, Timing, Turn, take_turns
from swav_dali.__main__ import main
from swav_dali.bench import lineup, report, watching
from swav_dali.bench.lineup import OURS, PLAIN, SCORING, Setting
from swav_dali.bench.plain import PlainLarc
from swav_dali.errors import TrainingError
from swav_dali.method.larc import Larc

SMALL = Setting(
    arch="tiny",
    crops=parse_crops("2x32+2x16"),
    batch_size=4,
    num_prototypes=12,
    queue=8,
    epsilon=0.05,
    repeats=1,
    device=torch.device("cpu"),
    with_compiled=False,
)


def names(contestants: list[Contestant]) -> list[str]:
    return [contestant.name for contestant in contestants]


@pytest.mark.parametrize("epsilon", [0.05, 0.02])
def test_the_heads_losses_agree_with_and_without_a_queue(epsilon: float) -> None:
    setting = replace(SMALL, epsilon=epsilon)
    assert names(lineup.head(setting)) == [PLAIN, OURS, SCORING]
    assert names(lineup.head(replace(setting, queue=0))) == [PLAIN, OURS]


@pytest.mark.parametrize("other", [1.0 + 3e-6, float("nan")])
def test_another_loss_than_the_published_one_is_not_timed(other: float) -> None:
    lineup.refuse_other_losses({PLAIN: 1.0, OURS: 1.0 + 5e-7})
    with pytest.raises(TrainingError, match="ours: the losses differ"):
        lineup.refuse_other_losses({PLAIN: 1.0, OURS: other})


def test_the_plain_optimizer_is_larc() -> None:
    params = [[nn.Parameter(torch.full((3,), value)) for value in (2.0, 0.0)] for _ in range(2)]
    settings = {"lr": 0.1, "weight_decay": 0.01}
    plain, ours = PlainLarc(params[0], trust=0.02, **settings), Larc(params[1], trust_coefficient=0.02, **settings)
    for number in range(3):
        for param in (*params[0], *params[1]):
            param.grad = torch.tensor([1.0, -2.0, 0.5]) * (number + 1)
        plain.step()
        ours.step()
    for a, b in zip(*params, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=0)


@pytest.mark.parametrize("made", [lineup.optimizer, lineup.step])
def test_optimizer_and_step_take_turns(made: Callable[[Setting], list[Contestant]]) -> None:
    timings = take_turns(made(SMALL), rounds=2, say=lambda _line: None)
    assert [len(timing.turns) for timing in timings] == [2] * len(timings)
    assert PLAIN in names([timing.contestant for timing in timings])


def timing(name: str, *cpu_seconds: float) -> Timing:
    contestant = Contestant(name=name, parallel=1, run=lambda: Turn(1, 1.0, 1.0))
    return Timing(contestant=contestant, turns=[Turn(2, 1.0, seconds) for seconds in cpu_seconds])


def test_ratios_are_of_cpu_time_round_by_round_with_and_without_the_product_both_need() -> None:
    timings = [timing(PLAIN, 0.8, 1.2), timing(OURS, 0.4, 0.4), timing(SCORING, 0.2, 0.2)]
    assert report.speedup(timings[1], timings) == pytest.approx((2.5, 2.0, 3.0))
    text = report.sentence(timings)
    assert text.startswith("2.50 times the published loop by CPU time (2.00 to 3.00 over 2 rounds).")
    assert text.endswith("without it 4.00 times (3.00 to 5.00).")


def test_the_command_prints_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "bench head --batch-size 4 --crops 2x32+2x16 --prototypes 12 --queue 9 --rounds 2 --repeats 1 --json"
    monkeypatch.setattr("sys.argv", ["swav_dali", *words.split(), str(tmp_path / "head.json")])
    threads = torch.get_num_threads()
    try:
        assert main() == 0
    finally:
        torch.set_num_threads(threads)
    assert "times the published loop by CPU time" in capsys.readouterr().out
    results = json.loads((tmp_path / "head.json").read_text())["results"]
    assert [result["name"] for result in results] == [PLAIN, OURS, SCORING]
    assert all(len(result["cpu_ms_per_step"]) == 2 for result in results)


def test_watching_is_timed_alone_and_by_pairs_of_steps() -> None:
    timings = [
        timing(watching.STEP, 0.2, 0.4),
        timing(watching.ALONE, 0.001, 0.001),
        timing(watching.RECORD, 0.011, 0.011),
    ]
    generator = np.random.default_rng(0)
    plain = 200 * generator.lognormal(0, 0.3, 401)  # a machine that is busy for a while slows both of a pair
    pairs = watching.Pairs(plain=plain.tolist(), watched=(plain + generator.normal(2, 4, 401)).tolist())
    assert watching.share_alone(timings) == pytest.approx((0.0045, 0.003, 0.006))
    assert watching.share_of_records(timings) == pytest.approx(0.0002 / 0.3)
    assert pairs.extra.median == pytest.approx(0.01, abs=0.003)
    assert pairs.extra.lowest < 0.01 < pairs.extra.highest < pairs.extra.lowest + 0.006
    assert pairs.extra_ms.median == pytest.approx(200 * pairs.extra.median, rel=0.1)
    said = watching.sentence(timings, pairs)
    assert "0.45% of a step (0.30% to 0.60% over 2 rounds)" in said
    assert "401 pairs" in said


def test_the_range_of_a_median_holds_it_nineteen_times_of_twenty() -> None:
    generator = np.random.default_rng(1)
    ranges = [
        watching.Pairs(plain=[0.0] * 60, watched=generator.standard_cauchy(60).tolist()).extra_ms for _ in range(2000)
    ]
    assert np.mean([each.lowest <= 0 <= each.highest for each in ranges]) == pytest.approx(0.95, abs=0.025)


def test_steps_with_and_without_a_watch_take_turns(tmp_path: Path) -> None:
    pairs = watching.time_pairs(SMALL, tmp_path, pairs=3)
    assert len(pairs.plain) == len(pairs.watched) == 3
    assert min(*pairs.plain, *pairs.watched) > 0


def test_a_watched_step_and_a_record_are_real_ones(tmp_path: Path) -> None:
    timings = take_turns(watching.watching(SMALL, tmp_path), rounds=2, say=lambda _line: None)
    assert [each.contestant.name for each in timings] == [watching.STEP, watching.ALONE, watching.RECORD]
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == 3
    assert {"forward_ms", "update_ratio", "rankme"} <= set(records[0])
