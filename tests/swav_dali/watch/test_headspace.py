"""The headspace is the rate of a step whose data is there, over all ranks; what it changed is put back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from swav_dali.ranks.world import World
from swav_dali.watch import headspace as module
from swav_dali.watch.headspace import BATCHES, STEPS, WARM_UP, cached, measure_headspace
from swav_dali.watch.spans import Spans

CPU = torch.device("cpu")
ALONE = World(rank=0, size=1, local_rank=0, device=CPU)


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
        lambda batch: steps.append(_train(model, optimizer)),
        [None],
        forward=lambda: model(torch.ones(4, 8)),
        images=4,
        world=ALONE,
        changes={"model": model, "optimizer": optimizer},
        spans=Spans(CPU),
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
    slow = lambda batch: steps.append(time.sleep(0.01))  # noqa: E731
    found = measure_headspace(slow, [None], forward=lambda: None, images=1, world=ALONE, changes={}, spans=Spans(CPU))
    assert len(steps) == 2
    assert found.seconds_per_step >= 0.01


def test_an_optimizer_that_had_no_momentum_has_none_again() -> None:
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    changes = {"model": model, "optimizer": optimizer}
    measure_headspace(
        lambda batch: _train(model, optimizer),
        [None],
        forward=lambda: None,
        images=4,
        world=ALONE,
        changes=changes,
        spans=Spans(CPU),
    )
    assert not optimizer.state


def _measure(world: World) -> tuple[float, float, dict[str, float]]:
    module.STEPS = 4
    pace, spans = [0.03, 0.06][world.rank], Spans(CPU)

    def step(batch: None) -> None:
        with spans("forward"):
            time.sleep(pace)

    found = measure_headspace(
        step, [None], forward=lambda: None, images=2 + world.rank, world=world, changes={}, spans=spans
    )
    assert spans.read() == {}
    return found.images_per_second, found.seconds_per_step, dict(found.parts)


def test_of_several_ranks_the_slowest_sets_the_pace_and_images_add_up(run_ranks: Callable[..., list[Any]]) -> None:
    (rate, seconds, parts), (other_rate, other_seconds, other_parts) = run_ranks(_measure, 2)
    assert (rate, seconds) == (other_rate, other_seconds)
    assert seconds >= 0.06
    assert rate == pytest.approx(5 / seconds)
    assert 0.03 <= parts["forward"] < other_parts["forward"]


def test_batches_are_taken_in_turns_and_each_has_its_own_memory() -> None:
    groups = (torch.randn(2, 3, 8, 8, 3).permute(0, 1, 4, 2, 3), torch.randn(2, 3, 4, 4, 3).permute(0, 1, 4, 2, 3))
    batches = cached(groups)
    assert len(batches) == BATCHES
    assert len({group.data_ptr() for batch in batches for group in batch}) == 2 * BATCHES
    assert all(
        torch.equal(a, b) and a.stride() == b.stride() for batch in batches for a, b in zip(batch, groups, strict=True)
    )
    seen: list[int] = []
    measure_headspace(seen.append, range(5), forward=lambda: None, images=1, world=ALONE, changes={}, spans=Spans(CPU))
    assert seen == [number % 5 for number in range(WARM_UP + STEPS)]


def test_cached_batches_keep_to_a_part_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = (torch.zeros(100),)
    monkeypatch.setattr(module, "MOST_BYTES", 1300)
    assert len(cached(groups)) == 3
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert len(cached(groups)) == 1
