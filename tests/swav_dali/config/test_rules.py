"""The rules go through the published points, and what is known to fail is warned of while what is published is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swav_dali.config.changed import changed
from swav_dali.config.presets import RECIPES, load_preset
from swav_dali.config.rules import (
    RULES,
    Setting,
    base_lr,
    epsilon,
    freeze_steps,
    num_prototypes,
    queue_length,
    queue_start_epoch,
    warmup_epochs,
    warnings_on_choices,
)

IMAGENET = 1_281_167


def imagenet(batch: int, **other: Any) -> Setting:
    return Setting(**{"batch": batch, "images": IMAGENET, "epochs": 200, "classes": 1000, **other})


# rate, its end, warm-up, its start, frozen steps, queue, its epoch, prototypes, epsilon
@pytest.mark.parametrize(
    ("batch", "published"),
    [
        (4096, [4.8, 0.0048, 10, 0.3, 313, 0, 0, 3000, 0.05]),
        (256, [0.6, 0.0006, 0, 0, 5005, 3840, 15, 3000, 0.05]),
    ],
)
def test_the_rules_go_through_both_published_settings(batch: int, published: list[float]) -> None:
    assert [rule.value(imagenet(batch)) for rule in RULES] == pytest.approx(published)


def test_between_them_the_rate_grows_with_the_batch_by_a_power_law() -> None:
    assert base_lr(imagenet(1024)) == pytest.approx((0.6 * 4.8) ** 0.5)  # the middle in logarithms
    assert base_lr(imagenet(512, optimizer="adamw")) == pytest.approx(0.001)


def test_queues_are_whole_batches_and_as_long_as_is_needed() -> None:
    assert queue_length(imagenet(2560)) == 2560  # RN50w4
    assert queue_start_epoch(imagenet(2560)) == 0
    assert queue_length(imagenet(64)) == 15 * 64
    assert queue_length(imagenet(64, prototypes=30)) == 0
    assert queue_length(imagenet(256, images=1000)) == 256
    assert queue_length(imagenet(256, images=300)) == 0


@pytest.mark.parametrize("batch", [1, 7, 100, 256, 1000, 4096, 10_000])
@pytest.mark.parametrize("images", [10_000, 1_000_000])
@pytest.mark.parametrize("epochs", [1, 10, 800])
def test_whatever_the_setting_the_rules_answer_with_what_a_run_can_do(batch: int, images: int, epochs: int) -> None:
    setting = Setting(batch=batch, images=images, epochs=epochs)
    length = queue_length(setting)
    assert length % batch == 0
    assert 0 <= length <= min(15 * batch, images // 2)
    assert 0 <= warmup_epochs(setting) <= epochs
    assert 0 <= queue_start_epoch(setting) <= epochs
    assert freeze_steps(setting) == images // batch + 1
    assert base_lr(setting) > 0


def test_prototypes_follow_classes_and_pictures_and_epsilon_follows_prototypes() -> None:
    assert num_prototypes(imagenet(256, classes=10)) == 100
    assert num_prototypes(imagenet(256, classes=None)) == 3000
    assert num_prototypes(imagenet(256, images=1300, classes=None)) == 30
    assert [epsilon(imagenet(256, prototypes=number)) for number in (3000, 300, 32)] == [0.05, 0.03, 0.02]


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_is_warned_of_on_its_own_pictures(name: str) -> None:
    row = RECIPES[name]
    images = row.made_for.images if row.made_for else 3000
    assert warnings_on_choices(row.config(), images=images, num_ranks=row.ranks) == []


@pytest.mark.parametrize(
    ("name", "ranks", "images", "changes", "words"),
    [
        ("imagenet_4096", 8, IMAGENET, {}, ["4.8 times", "512 images", "issue 12", "--optim.base-lr 1"]),
        ("imagenet_256", 1, IMAGENET, {"data.batch_size": 16, "swav.queue_length": 0}, ["--optim.base-lr", "0.075"]),
        ("cifar10", 1, 50_000, {"data.batch_size": 16}, ["16 images", "512 prototypes", "issue 118"]),
        ("imagenet_256", 4, IMAGENET, {"swav.queue_start_epoch": 0.0}, ["--swav.queue-start-epoch 0", "issues 56"]),
        ("imagenet_256", 4, IMAGENET, {"swav.queue_length": 3900}, ["holds 3840", "--swav.queue-length 3900"]),
        ("imagenet_256", 4, 6000, {"swav.queue_length": 5888}, ["longer than the set", "6000 images"]),
        ("imagenette", 1, 1300, {}, ["1300 images are too few", "--model.num-prototypes 30"]),
        ("imagenet_256", 4, IMAGENET, {"swav.epsilon": 0.1}, ["--swav.epsilon 0.1", "--swav.temperature 0.1"]),
        ("imagenet_256", 4, IMAGENET, {"swav.epsilon": 0.005}, ["nearly hard", "--swav.epsilon 0.005"]),
        (
            "imagenet_256",
            4,
            IMAGENET,
            {"swav.sinkhorn_iterations": 1},
            ["fewer than 3", "--swav.sinkhorn-iterations 1"],
        ),
    ],
)
def test_what_others_saw_fail_is_a_warning(
    name: str, ranks: int, images: int, changes: dict[str, Any], words: list[str]
) -> None:
    said = warnings_on_choices(changed(load_preset(name), changes), images=images, num_ranks=ranks)
    text = next(text for text in said if all(word in text for word in words))
    assert "\n" not in text


def test_a_rate_that_only_small_networks_bear_is_not_held_against_them() -> None:
    demo = load_preset("demo")
    high = replace(demo, optim=replace(demo.optim, optimizer="larc", base_lr=20.0))
    assert warnings_on_choices(high, images=3000, num_ranks=1) == []
