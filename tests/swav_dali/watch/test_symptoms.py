"""Every symptom is told once when it begins, from curves drawn as they were described; a healthy run has none."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import pytest

from swav_dali.watch.symptoms import Symptoms

LN_K = math.log(3000)
HEALTHY = {
    "ln_k": LN_K,
    "embedding_spread": 0.9,
    "code_entropy": 2.0,
    "duplicate_prototypes": 0.0,
    "queue_in_use": 0.0,
    "steps_skipped": 0.0,
}
FALLING = [7.5 - 0.1 * step for step in range(30)]


def told(records: Iterable[dict[str, float]], seed: int = 0) -> list[str]:
    noise, symptoms = random.Random(seed), Symptoms()
    names = []
    for step, changes in enumerate(records, 1):
        record = {**HEALTHY, "step": 50 * step, "epoch": step // 4, **changes}
        record["loss"] += noise.uniform(-0.02, 0.02)
        names += [symptom.name for symptom in symptoms.see(record)]
    return names


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_learns_has_none(seed: int) -> None:
    with_queue = [{"loss": loss, "queue_in_use": float(i > 9)} for i, loss in enumerate(FALLING)]
    assert told(with_queue, seed) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("collapse", [{"loss": 7 + 0.1 * i, "embedding_spread": 0.9 - 0.09 * i} for i in range(10)]),
        ("collapse", [{"loss": 7.9, "embedding_spread": 0.15, "rankme": 20.0 / (i + 1)} for i in range(10)]),
        ("stuck at ln K", [{"loss": LN_K + 0.1 * math.exp(-i / 10)} for i in range(30)]),
        ("collapse", [{"loss": 7.0, "code_entropy": 2.0 + 0.9 * i} for i in range(8)]),
        ("divergence", [{"loss": loss} for loss in (7.5, 6.0, 5.0, 4.9, 6.0, 7.2, 7.5, 7.9)]),
        ("stuck at ln K", [{"loss": LN_K + 0.05} for _ in range(16)]),
        ("stuck at ln K", [{"loss": LN_K + 2.0 - 0.001 * i} for i in range(40)]),
        ("queue started too early", [{"loss": 5 + 0.6 * (i >= 5), "queue_in_use": float(i >= 5)} for i in range(8)]),
        (
            "queue started too early",
            [{"loss": loss, "queue_in_use": float(i >= 3)} for i, loss in enumerate([8, 7, 6.5, 5, 4, 5.5, 7, 7.5])],
        ),
        ("stuck at ln K", [{"loss": LN_K - 0.2 * (i % 9 == 8)} for i in range(40)]),
        ("partial prototype collapse", [{"loss": x, "duplicate_prototypes": 0.05 * i} for i, x in enumerate(FALLING)]),
        ("not finite", [{"loss": x, "steps_skipped": float(i >= 4)} for i, x in enumerate(FALLING)]),
    ],
)
def test_a_symptom_is_told_and_no_other(name: str, records: list[dict[str, float]], seed: int) -> None:
    assert set(told(records, seed)) == {name}


def test_a_hundred_steps_at_ln_k_are_a_beginning_however_short_the_epochs() -> None:
    short = [{"loss": LN_K, "step": 5.0 * i, "epoch": i // 4} for i in range(40)]
    assert told(short) == []
    assert set(told([*short, *({"loss": LN_K, "step": 200.0 + 5 * i, "epoch": 10 + i // 4} for i in range(9))])) == {
        "stuck at ln K"
    }


def test_some_records_at_ln_k_within_an_epoch_are_a_beginning_not_a_symptom() -> None:
    beginning = [{"loss": LN_K, "epoch": 1} for _ in range(30)]
    assert told([*beginning, *({"loss": loss} for loss in FALLING)]) == []
    falling_slowly = [{"loss": LN_K + 2 - 0.05 * i} for i in range(60)]
    assert told(falling_slowly) == []


def test_a_model_that_learns_slowly_below_ln_k_is_not_stuck() -> None:
    """The losses of a run with a queue that learnt in the end: half a per cent in two hundred steps."""
    slowly = [{"loss": LN_K * (0.9975 - 0.0002 * i), "step": 80.0 + 10 * i, "epoch": 1 + i // 4} for i in range(60)]
    assert told([{"loss": LN_K, "step": 10.0 * i, "epoch": 1} for i in range(8)] + slowly) == []


def test_what_stays_is_told_once_and_what_comes_back_again() -> None:
    ill = {"loss": 5.0, "duplicate_prototypes": 0.5}
    assert told([ill, ill, ill]) == ["partial prototype collapse"]
    assert told([ill, {"loss": 5.0}, ill]) == ["partial prototype collapse"] * 2


def test_only_a_collapse_is_one_and_every_text_has_a_remedy() -> None:
    collapsed = Symptoms().see({**HEALTHY, "step": 1, "epoch": 1, "loss": LN_K, "embedding_spread": 0.01})
    assert [symptom.is_collapse for symptom in collapsed] == [True]
    assert "embedding spread 0.010" in str(collapsed[0])
    assert "; try a lower --optim.base-lr" in str(collapsed[0])
    repeated = Symptoms().see({**HEALTHY, "step": 1, "epoch": 1, "loss": 5.0, "duplicate_prototypes": 0.5})
    assert [symptom.is_collapse for symptom in repeated] == [False]


def test_records_without_a_loss_are_passed_over() -> None:
    assert Symptoms().see({"step": 10, "knn_top1": 0.5}) == []
