"""Saved configurations against today's: what may differ, what may not, and what older versions left behind."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import training

from pipelines.tags import Audience, Before, Free, OnResume, tagged_options
from swav_dali.cli import parse
from swav_dali.config.presets import load_preset
from swav_dali.config.saved import differences, flatten, way_back
from swav_dali.config.sections import RunConfig

FIRST_VERSION = training.ROOT / "tests" / "data" / "first_version"


def saved_by_the_first_version() -> dict[str, Any]:
    """Of a run that the first version started with the options of `training.TINY`, before it was killed."""
    found: dict[str, Any] = json.loads((FIRST_VERSION / "meta.json").read_text())["config"]
    return found


def the_same_run(*more: str) -> dict[str, Any]:
    options = {**training.TINY, "--optim.epochs": "3", "--data.loader.threads": "7", "--name": "elsewhere"}
    chosen = {"device": "cpu", "precision": "float32", "data.crops_by": "cpu", "data.loader.precision": "float32"}
    return {**flatten(parse(["demo", *(word for pair in options.items() for word in pair), *more])), **chosen}


def test_a_run_of_the_first_version_goes_on() -> None:
    assert differences(saved_by_the_first_version(), the_same_run(), world_changed=False) == []


def test_what_it_left_open_agrees_with_what_is_chosen_now_and_is_compared_from_then_on() -> None:
    here = {**the_same_run(), "precision": "bfloat16", "device": "cuda", "log.wandb": "offline"}
    assert differences(saved_by_the_first_version(), here, world_changed=False) == []
    elsewhere = {**here, "precision": "float32", "log.wandb": "online"}
    assert differences(here, elsewhere, world_changed=False) == ["--precision bfloat16 -> float32"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--data.crops", "2x32@0.3-1+2x16@0.08-0.4"], "--data.crops 2x32@0.3-1+2x16@0.08-0.3 -> "),
        (["--swav.epsilon", "0.03"], "--swav.epsilon 0.02 -> 0.03"),
        (["--optim.epochs", "2"], "--optim.epochs 3 -> 2"),
        (["--data.loader.shuffle-pool", "9"], "--data.loader.shuffle-pool 4096 -> 9"),
    ],
)
def test_another_option_is_named_with_both_values(option: list[str], said: str) -> None:
    (found,) = differences(saved_by_the_first_version(), the_same_run(*option), world_changed=False)
    assert found.startswith(said)


def test_the_length_may_grow_and_the_batch_per_rank_may_change_with_the_ranks() -> None:
    old = saved_by_the_first_version()
    assert differences(old, the_same_run("--optim.epochs", "5"), world_changed=False) == []
    smaller = the_same_run("--data.batch-size", "2")
    assert differences(old, smaller, world_changed=True) == []
    assert differences(old, smaller, world_changed=False) == ["--data.batch-size 4 -> 2"]


def test_a_key_that_a_checkpoint_does_not_know_means_what_its_version_did() -> None:
    old = saved_by_the_first_version()
    del old["swav.temperature"]
    assert differences(old, the_same_run(), world_changed=False) == []
    changed = the_same_run("--swav.temperature", "0.2")
    assert differences(old, changed, world_changed=False) == ["--swav.temperature 0.1 -> 0.2"]


def test_a_key_that_is_not_known_here_is_refused_as_such() -> None:
    newer = {**flatten(load_preset("demo")), "swav.invented_later": 3}
    (found,) = differences(newer, flatten(load_preset("demo")), world_changed=True)
    assert found == "--swav.invented-later 3 -> not known here"


def test_crops_whose_groups_differed_in_their_distortions_are_not_taken_for_plain_ones() -> None:
    old = {**saved_by_the_first_version(), "data.crops.1.changes.blur": 0.1}
    (found,) = differences(old, the_same_run(), world_changed=False)
    assert "blur" in found


def test_everything_chosen_is_saved_and_may_be_resumed_with_itself() -> None:
    for name in ("demo", "imagenet_256"):
        flat = flatten(load_preset(name))
        assert json.loads(json.dumps(flat)) == flat
        assert set(flat) | {"resume"} == set(tagged_options(RunConfig))
        assert differences(flat, flat, world_changed=False) == []


def test_places_and_watching_may_change() -> None:
    demo = load_preset("demo")
    moved = replace(demo, runs_dir=Path("elsewhere"), log=replace(demo.log, every_steps=1))
    assert differences(flatten(demo), flatten(moved), world_changed=False) == []


def test_a_field_without_a_tag_may_never_differ_and_a_tag_on_a_section_holds_for_all_of_it() -> None:
    options = tagged_options(RunConfig)
    assert options["swav.epsilon"].on_resume is OnResume.NEVER
    assert options["knn.neighbours"].on_resume is OnResume.ALWAYS
    assert options["data.augment.blur"].audience is Audience.EXPERTS
    assert (Free[int].__metadata__, Before(3).value) == ((OnResume.ALWAYS,), 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "began_with",
    [
        "--optim.optimizer larc --optim.epochs 14 --optim.base-lr 1.5 --optim.final-lr 0.01 --optim.start-lr 0.3",
        "--model.num-prototypes 40 50 --deterministic --model.no-channels-last --swav.assign-crops 1 --seed 4",
        "--data.crops 2x48@0.3-1+4x32 --data.augment.mean 0.1 0.2 0.3 --init 'a file.pth' --optim.epochs 40",
    ],
)
def test_the_way_back_is_a_command_line_of_the_saved_run(began_with: str) -> None:
    saved, today = flatten(parse(["demo", *shlex.split(began_with)])), flatten(load_preset("demo"))
    assert differences(saved, today, world_changed=False)
    back = way_back(saved, today, world_changed=False)
    assert flatten(parse(["demo", *shlex.split(back)])) == saved
    forth = way_back(today, saved, world_changed=False)
    assert flatten(parse(["demo", *shlex.split(began_with), *shlex.split(forth)])) == today


def test_there_is_no_way_back_to_an_option_that_is_not_known_here() -> None:
    today = flatten(load_preset("demo"))
    assert way_back({**today, "seed": 9, "swav.invented_later": 3}, today, world_changed=False) == ""
