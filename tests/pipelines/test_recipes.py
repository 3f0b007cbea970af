"""One word for the crops: what it names is what is cut, and what it does not mean is refused."""

from __future__ import annotations

import pytest

from pipelines.config import CropGroup
from pipelines.errors import PipelineError
from pipelines.recipes import PRESETS, RECIPES, crops_text, parse_crops, sizes_text
from swav_dali.config.presets import load_preset


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_says_number_and_size_of_every_group(name: str) -> None:
    assert sizes_text(parse_crops(name)) == name


def test_the_default_is_the_references() -> None:
    large, small = parse_crops("2x224+6x96")
    assert (large.num, large.size, large.min_scale, large.max_scale) == (2, 224, 0.14, 1.0)
    assert (small.num, small.size, small.min_scale, small.max_scale) == (6, 96, 0.05, 0.14)


def test_the_presets_draw_what_the_trainer_s_do() -> None:
    for name, (crops, augment) in PRESETS.items():
        data = load_preset({"imagenet": "imagenet_256"}.get(name, name)).data
        assert (data.crops, data.augment) == (crops, augment)


def test_scales_are_read_and_the_others_keep_their_default() -> None:
    large, middle, small = parse_crops("2x160@0.2-.9+1x64+4x32@0.1-0.1")
    assert (large.min_scale, large.max_scale) == (0.2, 0.9)
    assert (middle.min_scale, middle.max_scale) == (0.05, 0.14)
    assert (small.num, small.size, small.min_scale, small.max_scale) == (4, 32, 0.1, 0.1)


def test_a_first_group_without_scales_has_large_crops_even_beside_its_twin() -> None:
    first, second = parse_crops("2x48+2x48")
    assert (first.min_scale, second.max_scale) == (0.14, 0.14)


@pytest.mark.parametrize("crops", [*RECIPES.values(), (CropGroup(num=2, size=8, min_scale=0.00001, max_scale=1 / 3),)])
def test_what_is_written_is_read_back_to_the_last_bit(crops: tuple[CropGroup, ...]) -> None:
    assert parse_crops(crops_text(crops)) == crops


@pytest.mark.parametrize("text", ["", "2x", "224", "2x224@0.14", "2x224@1", "2x224+", "2x224,6x96", "2x-8"])
def test_what_is_no_such_word_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PipelineError, match=r"--crops: crops are NUMBERxSIZE.*2x224\+6x96"):
        parse_crops(text)


@pytest.mark.parametrize("text", ["0x224", "2x4", "2x224@0-1", "2x224@0.5-0.1", "2x224@0.5-2"])
def test_crops_that_cannot_be_cut_are_refused(text: str) -> None:
    with pytest.raises(PipelineError, match=r"--data\.crops: "):
        parse_crops(text, where="--data.crops")
