"""What follows the length of a run, what is said about it, and what stays as it was given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swav_dali.config.length import adopt, follow_epochs, follow_steps, notes_on_length, warnings_on_length
from swav_dali.config.presets import load_preset
from swav_dali.config.saved import flatten
from swav_dali.config.sections import RunConfig

_PRESET = load_preset("small")
SMALL = replace(_PRESET, optim=replace(_PRESET.optim, epochs=80, warmup_epochs=3))
FROZEN = "swav.freeze_prototypes_steps"


def with_swav(config: RunConfig, **changes: float) -> RunConfig:
    return replace(config, swav=replace(config.swav, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["demo", "small", "imagenet_256", "imagenet_4096"])
def test_a_preset_at_its_own_length_is_left_alone_and_raises_no_warning(name: str) -> None:
    preset = load_preset(name)
    per_epoch = {"demo": 46, "small": 47, "imagenet_256": 5004, "imagenet_4096": 312}[name]
    assert follow_epochs(preset, preset.optim.epochs, ()) == preset
    assert follow_steps(preset, per_epoch * preset.optim.epochs, ()) == preset
    assert warnings_on_length(preset, steps_per_epoch=per_epoch, num_ranks=4) == []


def test_a_warm_up_that_does_not_fit_takes_half_and_frozen_steps_a_tenth() -> None:
    short = follow_epochs(SMALL, 2, ())
    assert (short.optim.warmup_epochs, short.optim.epochs) == (1, 2)
    short = follow_steps(short, 94, ())
    assert short.swav.freeze_prototypes_steps == 9
    first, second = notes_on_length(SMALL, short)
    assert "1 epoch(s) instead of 3" in first
    assert "9 steps instead of 100" in second


def test_what_fits_and_what_is_given_stays() -> None:
    assert follow_epochs(SMALL, 3, ()) == SMALL
    assert follow_steps(SMALL, 200, ()) == SMALL
    assert follow_steps(SMALL, 94, {FROZEN}) == SMALL
    assert follow_epochs(SMALL, 2, {"optim.warmup_epochs"}) == SMALL
    assert notes_on_length(SMALL, SMALL) == []


def test_on_resume_what_followed_the_length_stays_unless_it_is_given() -> None:
    saved = flatten(with_swav(SMALL, freeze_prototypes_steps=9))
    assert adopt(SMALL, saved, ()).swav.freeze_prototypes_steps == 9
    assert adopt(SMALL, saved, {FROZEN}) == SMALL
    assert adopt(SMALL, {}, ()) == SMALL


def test_what_never_comes_to_pass_is_a_warning() -> None:
    frozen = with_swav(SMALL, freeze_prototypes_steps=94)
    short = replace(frozen, optim=replace(frozen.optim, epochs=2, warmup_epochs=2))
    said = warnings_on_length(short, steps_per_epoch=47, num_ranks=1)
    assert len(said) == 2
    assert "the prototypes never move: --swav.freeze-prototypes-steps 94 of 94 steps" in said[0]
    assert "the whole run is warm-up" in said[1]


@pytest.mark.parametrize(("start", "length", "is_said"), [(80, 64, True), (79, 64 * 47, True), (79, 64 * 46, False)])
def test_a_queue_that_never_fills_is_a_warning(start: float, length: int, is_said: bool) -> None:
    config = with_swav(SMALL, queue_start_epoch=start, queue_length=length)
    assert bool(warnings_on_length(config, steps_per_epoch=47, num_ranks=1)) == is_said
