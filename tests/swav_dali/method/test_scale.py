"""float16: steps that overflow are left out on all ranks alike and are no mistake until the scale is at its floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from stepping import one_step
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from swav_dali.method.larc import Larc
from swav_dali.method.scale import FLOOR, LossScale
from swav_dali.method.sound import OVERFLOW, SOUND
from swav_dali.method.step import StepResult, update
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.world import World
from swav_dali.watch import skipped
from swav_dali.watch.meter import Meter

CPU = torch.device("cpu")
ALONE = World(rank=0, size=1, local_rank=0, device=CPU)
TOO_MUCH = 2.0**17


class Setup:
    """A small net in float16 and its optimizer on one of `world`'s ranks."""

    def __init__(self, start: float, world: World = ALONE) -> None:
        torch.manual_seed(0)
        self.model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
        self.net = wrap(self.model, world, sync_bn="off")
        self.optimizer = Larc(self.model.parameters(), lr=0.0)
        self.scale = LossScale(CPU, start=start)
        self.rank = world.rank

    def step(self, number: int, *, dtype: torch.dtype | None = torch.float16, **changes: Any) -> StepResult:
        generator = torch.Generator().manual_seed(10 * number + self.rank)
        groups = [torch.randn(4, n, 3, 48, 48, generator=generator) for n in (2, 1)]
        learnt = {"model": self.model, "optimizer": self.optimizer, "loss_scale": self.scale}
        return one_step(self.net, groups, **learnt, autocast_dtype=dtype, **changes)

    def weights(self) -> list[Tensor]:
        return [value.clone() for value in self.model.parameters()]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_step_that_overflows_is_skipped_and_halves_the_scale_until_one_fits(micro_batches: int) -> None:
    setup = Setup(TOO_MUCH)
    setup.model.normalize_prototypes_()
    culprits = []
    for number in range(7):
        before, scale = setup.weights(), float(setup.scale.value)
        result = setup.step(number, micro_batches=micro_batches)
        culprits.append(int(result.culprit))
        assert result.loss.isfinite()
        assert same(before, setup.weights()) == (result.culprit == OVERFLOW)
        assert float(setup.scale.value) == (scale / 2 if result.culprit == OVERFLOW else scale)
    assert culprits[0] == OVERFLOW
    assert culprits[-2:] == [SOUND] * 2
    assert int(setup.scale.overflowed) == culprits.count(OVERFLOW)
    assert all(tensor.isfinite().all() for tensor in [*setup.weights(), *setup.model.buffers()])


def test_in_float32_a_scale_changes_no_bit() -> None:
    scaled, plain = Setup(2.0**10), Setup(1.0)
    for number in range(3):
        ours = scaled.step(number, dtype=None)
        assert torch.equal(ours.grad_norm, plain.step(number, dtype=None).grad_norm)
    assert same(scaled.weights(), plain.weights())


def test_float16_gradients_are_those_of_float32_but_for_rounding() -> None:
    half, full = Setup(2.0**12), Setup(1.0)
    ours, theirs = half.step(0), full.step(0, dtype=None)
    torch.testing.assert_close(ours.loss, theirs.loss, rtol=5e-3, atol=0)
    torch.testing.assert_close(ours.grad_norm, theirs.grad_norm, rtol=5e-2, atol=0)
    assert ours.codes.dtype == ours.scores.dtype == torch.float32


def test_larc_sees_gradients_without_the_scale() -> None:
    weight = nn.Parameter(torch.ones(4))
    weight.grad = torch.full((4,), 3.0 * 1024)
    norms = update(Larc([weight], lr=0.1), learning_rate=0.1, loss_scale=LossScale(CPU, start=1024.0))
    assert norms.tolist() == [6.0]


def test_the_scale_follows_torchs_own_scaler() -> None:
    ours, theirs = LossScale(CPU, start=2.0**16), torch.amp.GradScaler("cpu", init_scale=2.0**16)
    weight = nn.Parameter(torch.zeros(2))
    sgd = torch.optim.SGD([weight], lr=0.1)
    bad_steps = {0, 1, 5, 2100}
    for number in range(4300):
        weight.grad = torch.full((2,), float("inf") if number in bad_steps else 1.0)
        theirs._per_optimizer_states.clear()
        if number == 0:
            theirs.scale(torch.zeros(()))
        theirs.step(sgd)
        theirs.update()
        ours.judge(torch.tensor(3 if number in bad_steps else SOUND))
        assert float(ours.value) == theirs.get_scale(), number
    assert int(ours.overflowed) == len(bad_steps)


def test_at_its_floor_a_bad_step_keeps_its_culprit_and_counts() -> None:
    scale = LossScale(CPU, start=4.0)
    found = [int(scale.judge(torch.tensor(7))) for _ in range(4)]
    assert found == [OVERFLOW, OVERFLOW, 7, 7]
    assert float(scale.value) == FLOOR
    assert int(scale.judge(torch.tensor(SOUND))) == SOUND


def test_a_restored_scale_goes_on_as_the_saved_one() -> None:
    first, second = LossScale(CPU, start=8.0), LossScale(CPU, start=1024.0)
    for culprit in [2, *[SOUND] * 1500]:
        first.judge(torch.tensor(culprit))
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for _ in range(500):
        first.judge(torch.tensor(SOUND))
        second.judge(torch.tensor(SOUND))
    assert float(first.value) == float(second.value) == 8.0
    assert int(second.overflowed) == 1


def test_overflows_are_no_skipped_steps_and_no_part_of_the_loss() -> None:
    meter, nan = Meter(), float("nan")
    for loss, culprit in ((2.0, SOUND), (nan, OVERFLOW), (4.0, SOUND)):
        meter.update(torch.tensor(loss), images=1, culprit=torch.tensor(culprit))
    window = meter.close()
    assert float(window.figures["loss"]) == 3.0
    assert float(window.figures["steps_skipped"]) == 0
    assert window.first_skipped[1] < 0
    assert skipped.SOUND == SOUND


def test_a_window_of_overflows_alone_ends_no_training() -> None:
    nothing = [(0.0, float(OVERFLOW))] * 2
    skipped.SkippedSteps(0, ["loss"]).judge(total=0, losses=[float("nan")] * 2, first=nothing, step=1, steps=1)


def test_nothing_of_it_waits_for_the_device() -> None:
    with FakeTensorMode():  # which raises where a value is asked for
        device = torch.device("cuda")
        weight = nn.Parameter(torch.ones(3, device=device))
        weight.grad = torch.ones(3, device=device)
        scale = LossScale(device, start=1024.0)
        scale.unscale([weight])
        assert scale.judge(torch.zeros((), dtype=torch.int64, device=device)).device.type == "cuda"


def overflow_on_the_last_rank(world: World) -> list[tuple[int, float]]:
    setup = Setup(1024.0, world)
    weight = setup.model.trunk.layer3[0].conv1.weight
    found = []
    for number in range(3):
        spoils = number == 1 and world.rank == world.size - 1
        hook = weight.register_hook(lambda grad, spoils=spoils: grad * float("inf") if spoils else grad)
        found.append((int(setup.step(number).culprit), float(setup.scale.value)))
        hook.remove()
    return found


def test_ranks_agree_on_what_is_skipped(run_ranks: Callable[..., list[Any]]) -> None:
    expected = [(SOUND, 1024.0), (OVERFLOW, 512.0), (SOUND, 512.0)]
    assert run_ranks(overflow_on_the_last_rank, 2) == [expected, expected]
