"""One step as a whole: its order, freezing, the queue's start, precision, ranks, and no wait for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from swav_dali.config.sections import SwavConfig
from swav_dali.method.codes import sinkhorn
from swav_dali.method.larc import Larc
from swav_dali.method.loss import swapped_loss
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.step import StepResult, train_step
from swav_dali.model.net import SwavNet
from swav_dali.ranks.world import World

CPU = torch.device("cpu")
SWAV = SwavConfig()
LARGE_ENOUGH = (
    32  # of one pixel, torch's bfloat16 weight gradient of a strided convolution on CPUs is now and then noise
)


class Setup:
    """A small net, its optimizer and a queue of two batches."""

    def __init__(
        self, device: torch.device = CPU, batch_size: int = 4, world_size: int = 1, small_crops: int = 16
    ) -> None:
        torch.manual_seed(0)
        self.net = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10).to(device)
        self.optimizer = Larc(self.net.parameters(), lr=0.0)
        self.queue = FeatureQueue(
            length=2 * batch_size * world_size,
            num_assign=2,
            embedding_dim=16,
            batch_size=batch_size,
            world_size=world_size,
            device=device,
        )
        self.batch_size, self.device, self.small_crops = batch_size, device, small_crops

    def groups(self, step: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(step)
        shapes = [(self.batch_size, n, 3, s, s) for n, s in ((2, 32), (3, self.small_crops))]
        return [torch.randn(shape, generator=generator).to(self.device) for shape in shapes]

    def step(self, number: int, **changes: Any) -> StepResult:
        arguments: dict[str, Any] = {
            "model": self.net,
            "optimizer": self.optimizer,
            "queue": self.queue,
            "learning_rate": 0.5,
            "freeze_prototypes": False,
            "swav": SWAV,
            "autocast_dtype": None,
        }
        return train_step(self.net, self.groups(number), **arguments | changes)


def test_the_result_is_detached_and_consistent() -> None:
    result = Setup().step(0, queue=None)
    assert result.loss.shape == ()
    assert result.embeddings.shape == (5, 4, 16)
    assert result.scores.shape == (5, 4, 10)
    assert result.codes.shape == (2, 4, 10)
    assert not any(t.requires_grad for t in (result.loss, result.embeddings, result.scores, result.codes))
    assert torch.equal(result.codes, sinkhorn(result.scores[:2], 0.05, 3))
    assert torch.equal(result.loss, swapped_loss(result.scores, result.codes, (0, 1), 0.1))


def test_codes_may_come_from_any_crops_in_any_order() -> None:
    result = Setup().step(0, queue=None, swav=SwavConfig(assign_crops=(1, 0)))
    assert torch.equal(result.codes, sinkhorn(result.scores[:2].flip(0), 0.05, 3))


def test_prototypes_are_unit_rows_in_the_forward_and_move_after_it() -> None:
    setup = Setup()
    with torch.no_grad():
        setup.net.prototypes.weight.mul_(3.0)
    seen = []
    setup.net.prototypes.register_forward_pre_hook(
        lambda module, _inputs: seen.append(module.weight.detach().norm(dim=1))
    )
    setup.step(0)
    torch.testing.assert_close(seen[0], torch.ones(10))
    assert (setup.net.prototypes.weight.norm(dim=1) - 1).abs().max() > 1e-7


def test_frozen_prototypes_stay_and_gather_no_momentum_while_the_rest_moves() -> None:
    setup = Setup()
    setup.net.normalize_prototypes_()
    prototypes, trunk = setup.net.prototypes.weight, setup.net.trunk.conv1.weight
    before, trunk_before = prototypes.detach().clone(), trunk.detach().clone()
    for number in range(3):
        setup.step(number, freeze_prototypes=True)
    torch.testing.assert_close(prototypes.detach(), before, rtol=1e-6, atol=0)
    assert prototypes not in setup.optimizer.state
    assert prototypes.grad is None
    assert not torch.equal(trunk, trunk_before)
    setup.step(3)
    assert not torch.allclose(prototypes, before, rtol=1e-6, atol=0)


def test_the_learning_rate_reaches_the_optimizer() -> None:
    setup = Setup()
    before = setup.net.trunk.conv1.weight.detach().clone()
    setup.step(0, learning_rate=0.0)
    assert torch.equal(setup.net.trunk.conv1.weight, before)
    setup.step(0, learning_rate=1.0)
    assert setup.optimizer.param_groups[0]["lr"] == 1.0
    assert not torch.equal(setup.net.trunk.conv1.weight, before)


def test_the_queue_takes_part_from_the_step_after_it_is_full_with_the_current_prototypes() -> None:
    setup = Setup()
    for number in range(4):
        before, was_full = setup.queue.embeddings, setup.queue.is_full
        result = setup.step(number, learning_rate=0.0)
        scores = result.scores[:2]
        if was_full:
            scores = torch.cat([before @ setup.net.prototypes.weight.detach().T, scores], dim=1)
        torch.testing.assert_close(result.codes, sinkhorn(scores, 0.05, 3)[:, -4:], rtol=1e-5, atol=1e-8)
        assert was_full == (number >= 2)
        assert torch.equal(setup.queue.embeddings[:, :4], result.embeddings[:2])


def test_bfloat16_autocast_gives_float32_results_close_to_float32_training() -> None:
    exact, rounded = (
        Setup(small_crops=LARGE_ENOUGH).step(0, queue=None, autocast_dtype=dtype) for dtype in (None, torch.bfloat16)
    )
    for name in ("loss", "embeddings", "scores", "codes"):
        assert getattr(rounded, name).dtype == torch.float32
    torch.testing.assert_close(rounded.loss, exact.loss, rtol=0.02, atol=0)
    torch.testing.assert_close(rounded.codes, exact.codes, rtol=0, atol=0.1)
    torch.testing.assert_close(rounded.codes, sinkhorn(rounded.scores[:2].double(), 0.05, 3).float())


def test_bfloat16_autocast_with_a_full_queue_scores_it_in_float32() -> None:
    setup = Setup(small_crops=LARGE_ENOUGH)
    for number in range(2):
        setup.step(number, autocast_dtype=torch.bfloat16)
    queue = setup.queue.embeddings.clone()
    result = setup.step(2, learning_rate=0.0, autocast_dtype=torch.bfloat16)
    scores = torch.cat([queue @ setup.net.prototypes.weight.detach().T, result.scores[:2]], dim=1)
    torch.testing.assert_close(result.codes, sinkhorn(scores, 0.05, 3)[:, -4:], rtol=1e-5, atol=1e-7)


def test_the_same_steps_have_the_same_bits() -> None:
    first, second = Setup(), Setup()
    for number in range(4):
        assert torch.equal(first.step(number).loss, second.step(number).loss)
    for ours, theirs in zip(first.net.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_training_on_one_batch_lowers_the_loss_below_ln_k() -> None:
    setup = Setup(batch_size=16)
    losses = [setup.step(0, queue=None, learning_rate=2.0).loss.item() for _ in range(25)]
    assert losses[-1] < 0.6 * setup.net.ln_num_prototypes < losses[0]


class CollectiveCounter(TorchDispatchMode):
    """Names of the c10d operators that run inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def collectives_of_three_steps(world: World) -> tuple[list[list[str]], np.ndarray]:
    setup = Setup(batch_size=2, world_size=world.size)
    counts, codes = [], []
    for number in range(3):  # the queue is in use in the third
        with CollectiveCounter() as counter:
            codes.append(setup.step(10 * number + world.rank).codes)
        counts.append(counter.names)
    return counts, torch.stack(codes).numpy()


def test_a_step_makes_exactly_three_all_reduces_for_both_crops_with_and_without_queue(
    run_ranks: Callable[..., list[Any]],
) -> None:
    answers = run_ranks(collectives_of_three_steps, 2)
    assert [counts for counts, _ in answers] == [[["allreduce_.default"] * 3] * 3] * 2
    assert np.isfinite([codes for _, codes in answers]).all()


@pytest.mark.gpu
def test_no_step_waits_for_the_device() -> None:
    setup = Setup(torch.device("cuda"))
    for number in range(4):  # kernels are chosen and the queue filled before anything is forbidden
        setup.step(number, autocast_dtype=torch.bfloat16)
    groups = setup.groups(9)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(
            setup.net,
            groups,
            model=setup.net,
            optimizer=setup.optimizer,
            queue=setup.queue,
            learning_rate=0.5,
            freeze_prototypes=True,
            swav=SWAV,
            autocast_dtype=torch.bfloat16,
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
