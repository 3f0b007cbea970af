"""The headspace is the rate of a step whose data is there, over all ranks; what it changed is put back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from swav_dali.ranks.world import World
from swav_dali.watch import headspace as module
from swav_dali.watch.headspace import STEPS, WARM_UP, measure_headspace

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def _train(model: nn.Linear, optimizer: torch.optim.SGD) -> None:
    optimizer.zero_grad()
    model(torch.ones(4, 8)).square().sum().backward()
    optimizer.step()


def test_weights_and_momentum_are_the_same_bits_afterwards() -> None:
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    _train(model, optimizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    momentum = [state["momentum_buffer"].clone() for state in optimizer.state.values()]
    steps: list[None] = []
    found = measure_headspace(
        lambda: steps.append(_train(model, optimizer)),
        forward=lambda: model(torch.ones(4, 8)),
        images=4,
        world=ALONE,
        changes={"model": model, "optimizer": optimizer},
    )
    assert len(steps) == WARM_UP + STEPS
    assert found.images_per_second == pytest.approx(4 / found.seconds_per_step)
    assert found.flops_per_image == 3 * 2 * 8 * 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(
        torch.equal(state["momentum_buffer"], old)
        for state, old in zip(optimizer.state.values(), momentum, strict=True)
    )


def test_slow_steps_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SECONDS", 0.001)
    steps: list[None] = []
    slow = lambda: steps.append(time.sleep(0.01))  # noqa: E731
    found = measure_headspace(slow, forward=lambda: None, images=1, world=ALONE, changes={})
    assert len(steps) == 2
    assert found.seconds_per_step >= 0.01


def test_an_optimizer_that_had_no_momentum_has_none_again() -> None:
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    changes = {"model": model, "optimizer": optimizer}
    measure_headspace(lambda: _train(model, optimizer), forward=lambda: None, images=4, world=ALONE, changes=changes)
    assert not optimizer.state


def _measure(world: World) -> tuple[float, float, float]:
    module.STEPS = 4
    pace = [0.03, 0.06][world.rank]
    is_alone = False

    @contextlib.contextmanager
    def alone() -> Iterator[None]:
        nonlocal is_alone
        is_alone = True
        yield

    found = measure_headspace(
        lambda: time.sleep(pace / 4 if is_alone else pace),
        forward=lambda: None,
        images=2 + world.rank,
        world=world,
        changes={},
        alone=alone,
    )
    return found.images_per_second, found.seconds_per_step, found.reduce_share


def test_of_several_ranks_the_slowest_sets_the_pace_and_images_add_up(run_ranks: Callable[..., list[Any]]) -> None:
    (rate, seconds, share), (other_rate, other_seconds, _) = run_ranks(_measure, 2)
    assert (rate, seconds) == (other_rate, other_seconds)
    assert seconds >= 0.06
    assert rate == pytest.approx(5 / seconds)
    assert 0.4 < share < 0.9
