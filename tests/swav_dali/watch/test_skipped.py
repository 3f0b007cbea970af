"""Steps without effect end a training with the step, the rank and the tensor where it began."""

from __future__ import annotations

from typing import Any

import pytest

from swav_dali.errors import TrainingError
from swav_dali.watch.skipped import SkippedSteps

NAMES = ["embeddings", "loss", "gradient of conv1.weight"]
NAN = float("nan")
NONE = (1.0, -1.0)


def judge(allowed: int = 0, **changes: Any) -> None:
    window = {"total": 0, "losses": [1.0, 2.0], "first": [NONE, NONE], "step": 10, "steps": 3}
    SkippedSteps(allowed, NAMES).judge(**window | changes)


def test_a_sound_window_goes_on() -> None:
    judge()


def test_the_first_step_and_the_rank_that_began_it_are_named() -> None:
    with pytest.raises(TrainingError) as caught:
        judge(total=2, first=[(1.0, 1.0), (1.0, 0.0)])
    text = str(caught.value)
    assert text.startswith("steps 8 to 10, first step 9, rank 1, embeddings: ")
    assert "not finite" in text
    assert "found 2 step(s)" in text


def test_an_earlier_step_comes_before_a_deeper_tensor() -> None:
    with pytest.raises(TrainingError, match=r"first step 8, rank 0, gradient of conv1\.weight"):
        judge(total=2, first=[(0.0, 2.0), (1.0, 0.0)])


def test_as_many_as_allowed_are_put_up_with_but_not_one_more() -> None:
    judge(allowed=2, total=2, first=[(0.0, 1.0)] * 2)
    with pytest.raises(TrainingError, match=r"at most --optim\.max-skipped-steps 2"):
        judge(allowed=2, total=3, first=[(0.0, 1.0)] * 2)


def test_skips_of_earlier_windows_count() -> None:
    with pytest.raises(TrainingError, match=r"steps 8 to 10: .* found 1 step"):
        judge(total=1)


@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_a_window_without_one_sound_step_ends_it_whatever_is_allowed(bad: float) -> None:
    with pytest.raises(TrainingError, match="step 8, rank 0, loss"):
        judge(allowed=99, total=3, losses=[1.0, bad], first=[(0.0, 1.0)] * 2)
