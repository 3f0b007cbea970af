"""What a saved data position belongs to, as the first version saved it and as it is saved now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import Augmentation, LoaderOptions
from pipelines.errors import LoaderStateError
from pipelines.fingerprint import refuse_other, settings_of
from pipelines.recipes import parse_crops

CROPS = parse_crops("2x32@0.3-1+2x16@0.08-0.3")
AUGMENT = Augmentation(max_sigma=0.6)
FIRST_VERSION = Path(__file__).parents[1] / "data" / "first_version" / "fingerprint.json"


def first_version() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIRST_VERSION.read_text())
    return found


def now(**changes: Any) -> dict[str, Any]:
    fields = {"crops": CROPS, "augment": AUGMENT, "options": LoaderOptions(threads=3, precision="float32"), **changes}
    same = {
        key: value for key, value in first_version().items() if key not in ("crops", "augment", "options", "quality")
    }
    return {**same, "crops_by": "cpu", **settings_of(**fields)}


def test_a_position_of_the_first_version_is_that_of_the_same_settings_today() -> None:
    refuse_other(first_version(), now())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crops": CROPS[:1]}, r"crops 2x32@0\.3-1\+2x16@0\.08-0\.3 -> 2x32@0\.3-1;"),
        ({"augment": replace(AUGMENT, std=(0.1, 0.2, 0.3))}, r"augment\.std \[0\.228, .* -> \[0\.1"),
        ({"options": LoaderOptions(shuffle_pool=9, precision="float32")}, r"options\.shuffle_pool 4096 -> 9"),
    ],
)
def test_what_differs_from_it_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(LoaderStateError, match=said):
        refuse_other(first_version(), now(**changes))


def test_its_quality_and_device_say_what_made_its_crops() -> None:
    with pytest.raises(LoaderStateError, match="crops_by dali -> cpu"):
        refuse_other({**first_version(), "quality": "fast"}, now())
    with pytest.raises(LoaderStateError, match="crops_by gpu -> cpu; device gpu -> cpu"):
        refuse_other({**first_version(), "device": "gpu"}, now())


def test_an_option_that_a_state_does_not_know_has_the_value_its_version_behaved_with() -> None:
    old = {key: value for key, value in now().items() if key != "augment.solarize"}
    refuse_other(old, now())
    with pytest.raises(LoaderStateError, match=r"augment\.solarize 0\.0 -> 0\.5"):
        refuse_other(old, now(augment=replace(AUGMENT, solarize=0.5)))


def test_options_that_change_no_bit_are_not_part_of_it() -> None:
    assert "options.threads" not in now()
    assert now(options=LoaderOptions(use_mmap=False, on_error="skip", precision="float32")) == now()
