"""The published training loop, step for step: tests/data holds what it did in float64 (losses, codes, embeddings,
queues, prototypes, norms), and the same weights and crops must lead this code to the same numbers.
"""

from __future__ import annotations

import math
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stepping import ALONE
from torch import Tensor

from swav_dali.config.sections import SwavConfig
from swav_dali.method.larc import Larc
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.schedule import learning_rates
from swav_dali.method.step import train_step
from swav_dali.model.names import published_name
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.world import World

DATA = Path(__file__).parents[2] / "data"
TOLERANCE = 1e-6
Trace = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    number: int
    world_size: int = 1
    batch_size: int = 8
    sizes: tuple[int, ...]
    assign_crops: tuple[int, ...] = (0, 1)
    num_prototypes: int = 30
    queue_per_rank: int = 0
    frozen_steps: int
    rates: tuple[float, float] = (0.3, 4.8)
    epsilon: float = 0.05
    steps: int = 6


SINGLE = [
    Case(name="no_queue_w1", number=1, sizes=(64, 64, 32, 32), frozen_steps=2),
    Case(name="queue_w1", number=2, sizes=(64, 64, 32, 32), queue_per_rank=16, frozen_steps=1),
    Case(
        name="one_assign_w1",
        number=4,
        sizes=(64, 64),
        assign_crops=(1,),
        frozen_steps=0,
        rates=(0.6, 0.6),
        epsilon=0.03,
        steps=3,
    ),
]
DOUBLE = Case(
    name="queue_w2",
    number=3,
    world_size=2,
    batch_size=4,
    sizes=(64, 64, 32, 32, 32),
    num_prototypes=20,
    queue_per_rank=12,
    frozen_steps=2,
)


def made_parameter(name: str, shape: torch.Size) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))).double()
    if x.ndim > 1:
        return x / math.sqrt(x[0].numel())
    return 1 + 0.1 * x if name.endswith("weight") else 0.1 * x


def made_net(num_prototypes: int) -> SwavNet:
    net = SwavNet("resnet50", num_prototypes=num_prototypes).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(made_parameter(published_name(name), parameter.shape))
    return net.to(memory_format=torch.channels_last)  # halves the time of float64 convolutions


def made_groups(case: Case, step: int, rank: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(10_000 * case.number + 100 * step + rank)
    crops = [torch.randn(case.batch_size, 3, s, s, generator=generator).double() for s in case.sizes]
    groups = [torch.stack([c for c in crops if c.shape[-1] == size], dim=1) for size in dict.fromkeys(case.sizes)]
    return [g.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(g.shape) for g in groups]


def made_queue(case: Case, world: World) -> FeatureQueue | None:
    if case.queue_per_rank == 0:
        return None
    return FeatureQueue(
        length=case.queue_per_rank * world.size,
        num_assign=len(case.assign_crops),
        embedding_dim=128,
        batch_size=case.batch_size,
        world_size=world.size,
        device=world.device,
        dtype=torch.float64,
    )


def replay(world: World, case: Case, *, backend: str | None = None) -> Trace:
    """`backend` is what compiles the trunk, as --model.compile has it compiled."""
    model = made_net(case.num_prototypes)
    if backend is not None:
        model.trunk.compile(dynamic=False, backend=backend)
    net = wrap(model, world, sync_bn="off")
    optimizer = Larc(net.parameters(), lr=0.0)
    queue = made_queue(case, world)
    swav = SwavConfig(epsilon=case.epsilon, assign_crops=case.assign_crops)
    first, last = case.rates
    rates = learning_rates(
        steps_per_epoch=case.steps, epochs=1, warmup_epochs=1, start_lr=first, base_lr=last, final_lr=0.0
    )
    results = [
        train_step(
            net,
            made_groups(case, step, world.rank),
            model=model,
            optimizer=optimizer,
            queue=queue,
            learning_rate=rate,
            freeze_prototypes=step < case.frozen_steps,
            swav=swav,
            autocast_dtype=None,
        )
        for step, rate in enumerate(rates)
    ]
    parameters = {published_name(name): parameter for name, parameter in model.named_parameters()}
    trace = {
        "loss": torch.stack([r.loss for r in results]),
        "lr": torch.tensor(rates, dtype=torch.float64),
        "q": torch.cat([r.codes for r in results]),
        "emb": torch.stack([r.embeddings.flatten(0, 1) for r in results]),
        "prototypes": model.prototypes.weight.detach(),
        "param_norms": torch.stack([parameters[name].detach().norm() for name in sorted(parameters)]),
    }
    if queue is not None:
        trace["queue"] = queue.embeddings
    return {key: value.numpy() for key, value in trace.items()} | {"param_names": np.array(sorted(parameters))}


def assert_same_as_recorded(ours: Trace, file: str) -> None:
    recorded: dict[str, Any] = dict(np.load(DATA / file))
    order = np.argsort(recorded["param_names"])
    recorded |= {key: recorded[key][order] for key in ("param_names", "param_norms")}
    assert ours.keys() == recorded.keys()
    assert ours.pop("param_names").tolist() == recorded["param_names"].tolist()
    for key, value in ours.items():
        np.testing.assert_allclose(value, recorded[key], rtol=0, atol=TOLERANCE, err_msg=key)


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)
def test_one_process_repeats_the_recorded_training(case: Case) -> None:
    assert_same_as_recorded(replay(ALONE, case), f"{case.name}_rank0.npz")


@pytest.mark.slow
def test_a_compiled_trunk_repeats_the_recorded_training() -> None:
    case = SINGLE[1]
    if shutil.which("g++") is None:
        pytest.skip("torch.compile wants a C++ compiler")
    assert_same_as_recorded(replay(ALONE, case, backend="inductor"), f"{case.name}_rank0.npz")


def test_two_ranks_repeat_the_recorded_training(run_ranks: Callable[..., list[Trace]]) -> None:
    for rank, trace in enumerate(run_ranks(replay, 2, DOUBLE, timeout=600.0)):
        assert_same_as_recorded(trace, f"{DOUBLE.name}_rank{rank}.npz")
