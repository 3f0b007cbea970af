"""What two real ranks wait for each other in codes and backward is timed, and only there; gradients keep their bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from stepping import one_step
from torch import Tensor, nn

from pipelines.config import CropGroup
from swav_dali.method.larc import Larc
from swav_dali.method.sound import backward
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.timer import untimed
from swav_dali.ranks.world import World
from swav_dali.watch.spans import Spans

CROPS = (CropGroup(num=2, size=32, min_scale=0.3, max_scale=1.0),)
LATE = 1.0


class Late(torch.autograd.Function):
    """The same numbers, but their gradient is late."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, seconds: float) -> Tensor:
        ctx.seconds = seconds
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        time.sleep(ctx.seconds)
        return gradient, None


def _backward_waits(world: World) -> float:
    """Seconds that this rank waits when the other one's last gradient is late."""
    torch.manual_seed(0)
    net = wrap(nn.Linear(4, 2), world, sync_bn="off")
    spans = Spans(world.device)
    for step in range(2):
        is_late = step == 1 and world.rank == 1
        loss = Late.apply(net(torch.randn(3, 4)), LATE if is_late else 0.0).square().sum()  # type: ignore[no-untyped-call]
        spans.read()
        backward(loss, timed=spans)
        spans.end_step()
    return spans.read()["collectives"]


def test_the_rank_that_is_early_waits_for_the_one_that_is_late(run_ranks: Callable[..., list[Any]]) -> None:
    early, late = run_ranks(_backward_waits, 2)
    assert early > 0.8 * LATE
    assert late < 0.5 * early


def _steps(world: World, micro_batches: int) -> tuple[dict[str, float], list[str]]:
    torch.manual_seed(0)
    model = SwavNet("tiny", hidden_dim=16, embedding_dim=8, num_prototypes=12)
    net = wrap(model, world, sync_bn="off")
    spans, bits = Spans(world.device), []
    optimizer = Larc(model.parameters(), lr=0.1, weight_decay=0.0, trust_coefficient=0.01)
    groups = [torch.randn(4, 2, 3, 32, 32, generator=torch.Generator().manual_seed(world.rank))]
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for timed in (spans, untimed):
        model.load_state_dict(start)  # a step normalizes the prototypes, and twice is not once to the bit
        parts = {"model": model, "optimizer": optimizer, "timed": timed}
        done = one_step(net, groups, learning_rate=0.0, micro_batches=micro_batches, **parts)
        bits.append(done.grad_norm.item().hex())
    spans.end_step()
    return spans.read(), bits


def test_a_whole_step_times_them_within_its_parts(run_ranks: Callable[..., list[Any]]) -> None:
    for micro_batches in (1, 2):
        for seconds, (timed, plain) in run_ranks(_steps, 2, micro_batches):
            assert 0 < seconds["collectives"] < seconds["codes"] + seconds["backward"]
            assert timed == plain


def test_one_rank_has_none() -> None:
    seconds, _ = _steps(World(rank=0, size=1, local_rank=0, device=torch.device("cpu")), 1)
    assert "collectives" not in seconds
