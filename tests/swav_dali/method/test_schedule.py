"""The learning-rate table: its ends, its seam, and every value against the formula."""

from __future__ import annotations

import math

import pytest

from swav_dali.errors import ConfigError
from swav_dali.method.schedule import learning_rates


def table(
    steps_per_epoch: int = 5, epochs: int = 8, warmup_epochs: int = 2, start: float = 0.3, final: float = 0.0048
) -> list[float]:
    return learning_rates(
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        start_lr=start,
        base_lr=4.8,
        final_lr=final,
    )


@pytest.mark.parametrize("warmup_epochs", [0, 1, 3, 8])
@pytest.mark.parametrize("steps_per_epoch", [1, 5, 312])
def test_every_value_is_the_formulas(steps_per_epoch: int, warmup_epochs: int) -> None:
    rates = table(steps_per_epoch, 8, warmup_epochs)
    num_warmup, num_cosine = steps_per_epoch * warmup_epochs, steps_per_epoch * (8 - warmup_epochs)
    slope = 4.5 / max(num_warmup - 1, 1)
    warmup = [0.3 + slope * t for t in range(num_warmup)]
    cosine = [0.0048 + 0.5 * 4.7952 * (1 + math.cos(math.pi * t / num_cosine)) for t in range(num_cosine)]
    assert rates == pytest.approx(warmup + cosine, rel=1e-13)


def test_base_rate_ends_the_warm_up_and_starts_the_cosine_which_never_reaches_the_final_rate() -> None:
    rates = table()
    assert rates[0] == 0.3
    assert rates[9] == rates[10] == 4.8
    assert rates[11] < 4.8
    assert 0.0048 < rates[-1] < rates[-2]
    assert len(rates) == 40


def test_without_warm_up_the_base_rate_comes_first() -> None:
    assert table(warmup_epochs=0)[0] == 4.8


def test_rates_are_plain_floats() -> None:
    assert {type(rate) for rate in table()} == {float}


def test_a_warm_up_longer_than_the_training_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--optim.warmup-epochs: .* found 9, expected at most --optim.epochs 8"):
        table(warmup_epochs=9)
