"""Epochs become steps once; what is due when."""

from __future__ import annotations

import pytest

from swav_dali.config.log import LogConfig
from swav_dali.config.optim import OptimConfig
from swav_dali.config.sections import CheckpointConfig, KnnConfig, SwavConfig
from swav_dali.run.plan import TrainPlan


def plan(steps_per_epoch: int = 10, epochs: int = 4, **changes: int) -> TrainPlan:
    return TrainPlan(
        steps_per_epoch=steps_per_epoch,
        optim=OptimConfig(epochs=epochs, warmup_epochs=1),
        swav=SwavConfig(queue_length=64, queue_start_epoch=1.45, freeze_prototypes_steps=3),
        checkpoint=CheckpointConfig(
            every_epochs=changes.get("every_epochs", 1),
            every_steps=changes.get("every_steps", 0),
            keep_every_epochs=changes.get("keep_every_epochs", 0),
        ),
        knn=KnnConfig(every_epochs=changes.get("knn", 3)),
        log=LogConfig(every_steps=changes.get("log", 4)),
    )


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 312])
@pytest.mark.parametrize("epochs", [1, 3, 100])
def test_there_is_one_learning_rate_for_every_step(steps_per_epoch: int, epochs: int) -> None:
    made = plan(steps_per_epoch, epochs)
    assert len(made.learning_rates) == made.total_steps == steps_per_epoch * epochs


def test_the_queue_starts_at_the_first_step_of_its_epoch() -> None:
    assert plan().queue_start_step == 15  # of 14.5
    assert [step for step in range(20) if plan().queue_has_started(step)] == [15, 16, 17, 18, 19]


def test_prototypes_are_frozen_for_the_first_steps() -> None:
    assert [step for step in range(6) if plan().prototypes_are_frozen(step)] == [0, 1, 2]


def test_records_are_due_at_the_interval_and_at_the_end_of_an_epoch() -> None:
    assert [step for step in range(1, 21) if plan().log_is_due(step)] == [4, 8, 10, 12, 16, 20]


def test_step_checkpoints_leave_the_end_of_an_epoch_to_the_epoch() -> None:
    made = plan(every_steps=5, every_epochs=3)
    assert [step for step in range(1, 21) if made.step_checkpoint_is_due(step)] == [5, 15]
    assert [epoch for epoch in range(1, 5) if made.epoch_checkpoint_is_due(epoch)] == [3, 4]


def test_the_last_epoch_always_probes_and_always_saves() -> None:
    made = plan(knn=3, every_epochs=100)
    assert [epoch for epoch in range(1, 5) if made.knn_is_due(epoch)] == [3, 4]
    assert made.epoch_checkpoint_is_due(4)


def test_permanent_checkpoints_stand_at_whole_epochs() -> None:
    made = plan(keep_every_epochs=2)
    assert [step for step in range(41) if made.checkpoint_is_permanent(step)] == [0, 20, 40]
    assert not plan().checkpoint_is_permanent(20)
