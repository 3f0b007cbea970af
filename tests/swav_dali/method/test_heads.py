"""Several heads of prototypes: each has codes and a loss as if it were the only one, and the loss is their mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stepping import ALONE, Float64Run
from torch import Tensor
from torch.nn import functional

from swav_dali.config.sections import SwavConfig
from swav_dali.ranks.world import World

HEADS, SWAV = (10, 7, 10), SwavConfig()


def weights_after_four_steps(world: World, micro_batches: int) -> np.ndarray[Any, Any]:
    setup = Float64Run(world, heads=HEADS, micro_batches=micro_batches)
    for number in range(4):
        setup.step(number)
    assert setup.queue.is_full
    return setup.weights().numpy()


def codes_by_hand(scores: Tensor, queued: Tensor | None, rows: Tensor) -> Tensor:
    """Rounds of rows and columns over everything, for one assigned crop, as the paper writes them."""
    every = scores if queued is None else torch.cat([scores, queued @ rows.T])
    share = (every / SWAV.epsilon).exp().T
    for _ in range(SWAV.sinkhorn_iterations):
        share = share / share.sum(1, keepdim=True) / len(share)
        share = share / share.sum(0, keepdim=True) / share.shape[1]
    return (share * share.shape[1]).T[: len(scores)]


def test_codes_and_loss_are_the_mean_of_heads_on_their_own() -> None:
    setup = Float64Run(heads=HEADS)
    setup.step(0)
    setup.step(1)
    queued = setup.queue.embeddings
    rows = [functional.normalize(weight.detach(), dim=1) for weight in setup.model.prototype_weights]
    result = setup.step(2)
    losses = []
    for head, scores, codes in zip(rows, result.scores.split(HEADS, 2), result.codes.split(HEADS, 2), strict=True):
        torch.testing.assert_close(scores, result.embeddings @ head.T, rtol=1e-9, atol=1e-12)
        for crop in (0, 1):
            expected = codes_by_hand(scores[crop], queued[crop], head)
            torch.testing.assert_close(codes[crop], expected, rtol=1e-9, atol=1e-12)
        terms = [
            -(codes[crop] * (scores[other] / SWAV.temperature).log_softmax(1)).sum(1).mean()
            for crop in (0, 1)
            for other in range(3)
            if other != crop
        ]
        losses.append(torch.stack(terms).mean())
    torch.testing.assert_close(result.loss, torch.stack(losses).mean(), rtol=1e-9, atol=1e-12)


def test_two_equal_heads_learn_as_one_does() -> None:
    """The mean of equal losses has the same gradient for the trunk; each head has half of it and LARC its full step."""
    one, two = Float64Run(heads=10), Float64Run(heads=(10, 10))
    two.model.load_state_dict(
        {**one.model.state_dict(), **{f"prototypes.prototypes{n}.weight": one.model.prototypes.weight for n in (0, 1)}},
        strict=False,
    )
    for number in range(4):
        losses = [setup.step(number, freeze=True).loss for setup in (one, two)]
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(one.model.trunk.conv1.weight, two.model.trunk.conv1.weight, rtol=1e-9, atol=1e-12)


def test_frozen_heads_stay_and_all_of_them_move_later() -> None:
    setup = Float64Run(heads=HEADS)
    setup.step(0, freeze=True)
    before = [functional.normalize(weight.detach().clone(), dim=1) for weight in setup.model.prototype_weights]
    setup.step(1, freeze=True)
    for old, weight in zip(before, setup.model.prototype_weights, strict=True):
        torch.testing.assert_close(weight.detach(), old, rtol=0, atol=1e-15)
    setup.step(2)
    for old, weight in zip(before, setup.model.prototype_weights, strict=True):
        assert (weight.detach() - old).abs().max() > 1e-6


def test_the_loss_of_nothing_learnt_is_the_mean_of_ln_k() -> None:
    setup = Float64Run(heads=HEADS)
    assert setup.model.ln_num_prototypes == pytest.approx(np.log(HEADS).mean())
    with torch.no_grad():
        for weight in setup.model.prototype_weights:
            weight.copy_(weight[:1].expand_as(weight))
    assert setup.step(0).loss.item() == pytest.approx(np.log(HEADS).mean())


@pytest.mark.parametrize(("ranks", "micro_batches"), [(1, 4), (2, 1)])
def test_parts_and_ranks_learn_what_one_batch_does(
    ranks: int, micro_batches: int, run_ranks: Callable[..., list[Any]]
) -> None:
    alone = weights_after_four_steps(ALONE, 1)
    others = run_ranks(weights_after_four_steps, ranks, micro_batches) if ranks > 1 else []
    for weights in others or [weights_after_four_steps(ALONE, micro_batches)]:
        np.testing.assert_allclose(weights, alone, rtol=1e-8, atol=1e-10)
