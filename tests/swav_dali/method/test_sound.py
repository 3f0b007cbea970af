"""A step with something that is not finite has no effect, on any rank, and names the tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from stepping import one_step
from torch import Tensor, nn

from swav_dali.method.larc import Larc
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.sound import SOUND, Undo, backward, culprit, tensor_names
from swav_dali.method.step import StepResult
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.world import World

NAN, INF = float("nan"), float("inf")
ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


class Setup:
    """A small net, its optimizer and a queue of two batches on one of `world`'s ranks."""

    def __init__(self, world: World = ALONE) -> None:
        torch.manual_seed(0)
        self.world = world
        self.model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
        self.net = wrap(self.model, world, sync_bn="off")
        self.optimizer = Larc(self.model.parameters(), lr=0.0)
        self.queue = FeatureQueue(
            length=8 * world.size,
            num_assign=2,
            embedding_dim=16,
            batch_size=4,
            world_size=world.size,
            device=world.device,
        )
        self.names = tensor_names(self.model, self.optimizer)

    def groups(self, number: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(number)
        return [torch.randn(4, n, 3, s, s, generator=generator) for n, s in ((2, 32), (1, 16))]

    def step(self, number: int, **changes: Any) -> StepResult:
        groups = changes.pop("groups", self.groups(10 * number + self.world.rank))
        learnt = {"model": self.model, "optimizer": self.optimizer, "queue": self.queue}
        return one_step(self.net, groups, **learnt, **changes)

    def state(self) -> dict[str, Tensor]:
        """Everything a step may change but the count of forwards."""
        weights = {k: v.clone() for k, v in self.model.state_dict().items() if not k.endswith("num_batches_tracked")}
        momentum = [state["momentum_buffer"].clone() for state in self.optimizer.state.values()]
        return weights | {f"momentum {i}": m for i, m in enumerate(momentum)} | {"queue": self.queue.embeddings.clone()}


def assert_same(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def spoiled(setup: Setup, number: int, value: float) -> list[Tensor]:
    groups = setup.groups(number)
    groups[1][2, 0, 1, 5, 5] = value
    return groups


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("freeze", [True, False])
def test_a_bad_pixel_changes_no_weight_momentum_statistic_or_queue_row_and_the_next_step_is_sound(
    bad: float, freeze: bool
) -> None:
    setup = Setup()
    for number in range(3):
        assert setup.step(number).culprit == SOUND
    before = setup.state()
    result = setup.step(3, groups=spoiled(setup, 3, bad), freeze_prototypes=freeze)
    assert setup.names[int(result.culprit)] == "embeddings"
    assert_same(before, setup.state())
    assert setup.step(4).culprit == SOUND
    assert all(tensor.isfinite().all() for tensor in setup.state().values())


def test_a_gradient_that_overflows_behind_a_finite_loss_is_named_and_left_out() -> None:
    setup = Setup()
    setup.step(0)
    before = setup.state()
    hook = setup.model.trunk.layer3[0].conv1.weight.register_hook(lambda grad: grad * INF)
    result = setup.step(1)
    assert result.loss.isfinite()
    assert setup.names[int(result.culprit)] == "gradient of layer3.0.conv1.weight"
    assert_same(before, setup.state())
    hook.remove()
    assert setup.step(1).culprit == SOUND


def test_a_norm_too_large_for_its_dtype_is_not_finite_either() -> None:
    weight = nn.Parameter(torch.ones(4))
    weight.grad = torch.full((4,), 1e30)
    norms = Larc([weight], lr=1.0).step()
    assert norms.isinf().all()
    assert weight.tolist() == [1.0] * 4


def test_steps_around_a_bad_one_have_the_bits_of_a_training_without_it() -> None:
    with_bad, without = Setup(), Setup()
    for number in range(3):
        with_bad.step(number)
        without.step(number)
    with_bad.step(3, groups=spoiled(with_bad, 3, NAN))
    assert torch.equal(with_bad.step(4).loss, without.step(4).loss)
    assert_same(without.state(), with_bad.state())


def test_backward_of_a_finite_loss_is_torchs_and_of_another_it_is_nan_everywhere() -> None:
    weight = nn.Parameter(torch.tensor([2.0, 3.0]))
    backward(weight.square().sum())
    assert weight.grad is not None
    assert weight.grad.tolist() == [4.0, 6.0]
    weight.grad = None
    backward(weight.sum() + INF)
    assert weight.grad is not None
    assert weight.grad.isnan().all()


def test_the_first_of_several_is_the_culprit() -> None:
    good, bad = torch.ones(3), torch.tensor([1.0, NAN, 1.0])
    assert culprit(good, torch.tensor(1.0), good) == SOUND
    assert culprit(bad, torch.tensor(NAN), bad) == 0
    assert culprit(good, torch.tensor(INF), bad) == 1
    assert culprit(good, torch.tensor(1.0), bad) == 2 + 1


def test_a_net_without_statistics_has_nothing_to_restore() -> None:
    Undo([torch.tensor(3)]).undo_if(torch.tensor(True))


def bad_pixel_on_the_last_rank(world: World) -> tuple[str, bool, bool]:
    setup = Setup(world)
    for number in range(3):
        setup.step(number)
    before = setup.state()
    is_bad = world.rank == world.size - 1
    result = setup.step(3, groups=spoiled(setup, 3, NAN) if is_bad else setup.groups(3))
    after = setup.state()
    is_same = all(torch.equal(before[name], after[name]) for name in before)
    setup.step(4)
    return setup.names[int(result.culprit)], is_same, all(t.isfinite().all() for t in setup.state().values())


def test_all_ranks_skip_alike_and_the_one_it_began_on_tells_the_deepest_tensor(
    run_ranks: Callable[..., list[Any]],
) -> None:
    assert run_ranks(bad_pixel_on_the_last_rank, 2) == [("loss", True, True), ("embeddings", True, True)]
