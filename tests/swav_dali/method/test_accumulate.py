"""A batch in parts is the batch: codes, loss, gradients, queue and weights, on one rank and on several."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stepping import ALONE, Float64Run

from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError
from swav_dali.method.sound import SOUND
from swav_dali.ranks.world import World


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_steps_in_parts_are_the_steps_of_the_whole_batch(parts: int) -> None:
    whole, cut = Float64Run(), Float64Run(micro_batches=parts)
    for number in range(4):  # the queue takes part from the third
        expected, found = (run.step(number, freeze=number == 0) for run in (whole, cut))
        for name in ("loss", "embeddings", "scores", "codes", "grad_norm"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(cut.weights(), whole.weights(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(cut.queue.embeddings, whole.queue.embeddings, rtol=1e-9, atol=1e-12)


def weights_after_three_steps(world: World, parts: int) -> np.ndarray[Any, Any]:
    setup = Float64Run(world, micro_batches=parts)
    for number in range(3):
        setup.step(number, freeze=number == 0)
    return setup.weights().numpy()


def weights_whole_and_in_parts(world: World) -> list[np.ndarray[Any, Any]]:
    return [weights_after_three_steps(world, parts) for parts in (1, 2)]


@pytest.mark.parametrize("ranks", [2, 4])
def test_several_ranks_have_the_weights_of_one_with_the_whole_batch_also_in_parts(
    ranks: int, run_ranks: Callable[..., list[Any]]
) -> None:
    alone = weights_after_three_steps(ALONE, 1)
    for weights in itertools.chain.from_iterable(run_ranks(weights_whole_and_in_parts, ranks)):
        np.testing.assert_allclose(weights, alone, rtol=1e-8, atol=1e-10)


def test_only_a_part_at_a_time_has_a_graph_and_the_statistics_move_once_per_part() -> None:
    setup = Float64Run(micro_batches=4, frozen_norm=False)
    with_graph: list[int] = []
    setup.model.trunk.register_forward_hook(
        lambda _module, inputs, _output: with_graph.append(len(inputs[0])) if torch.is_grad_enabled() else None
    )
    norm = setup.model.trunk.bn1
    mean = norm.running_mean.clone()
    groups = setup.groups(0)
    for piece in zip(*(group.chunk(4) for group in groups), strict=True):
        for crops in piece:
            with torch.no_grad():
                mean = 0.9 * mean + 0.1 * setup.model.trunk.conv1(crops.flatten(0, 1)).mean((0, 2, 3))
    setup.step(0, groups, freeze=True)
    assert with_graph == [4, 2] * 4
    torch.testing.assert_close(norm.running_mean, mean)


def test_a_part_that_is_not_finite_leaves_the_whole_step_out() -> None:
    setup = Float64Run(micro_batches=4, frozen_norm=False)
    setup.step(0, freeze=True)
    before, statistics = setup.weights(), setup.model.trunk.bn1.running_mean.clone()
    groups = setup.groups(1)
    groups[0][5, 0, 0, 0, 0] = torch.nan
    assert setup.step(1, groups).culprit != SOUND
    assert torch.equal(setup.weights(), before)
    assert torch.equal(setup.model.trunk.bn1.running_mean, statistics)


def test_parts_that_do_not_divide_the_batch_are_refused() -> None:
    optim, data = RunConfig().optim, RunConfig().data
    with pytest.raises(ConfigError, match=r"--optim.micro-batches: .* found 3, expected a divisor of .* 64"):
        RunConfig(optim=replace(optim, micro_batches=3), data=replace(data, batch_size=64))
