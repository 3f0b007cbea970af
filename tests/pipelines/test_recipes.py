"""The named crops are the published ones, and a wrong name is answered with the nearest."""

from __future__ import annotations

import pytest

from pipelines.config import Augmentation
from pipelines.errors import PipelineError
from pipelines.recipes import RECIPES, crops_of_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_says_number_and_size_of_every_group(name: str) -> None:
    assert "+".join(f"{group.num}x{group.size}" for group in crops_of_recipe(name)) == name


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_drawn_from(name: str) -> None:
    for group in crops_of_recipe(name):
        assert 0 <= Augmentation().of(group).blur <= 1


def test_the_default_is_the_references() -> None:
    large, small = crops_of_recipe("2x224+6x96")
    assert (large.num, large.size, large.min_scale, large.max_scale) == (2, 224, 0.14, 1.0)
    assert (small.num, small.size, small.min_scale, small.max_scale) == (6, 96, 0.05, 0.14)


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PipelineError, match=r"found 2x224\+6x69.*did you mean 2x224\+6x96\?"):
        crops_of_recipe("2x224+6x69")
