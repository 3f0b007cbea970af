"""What this model does when data costs nothing: some steps on one batch that is there already.

Every later rate is a share of that figure. A measured step does everything a step does, so the caller hands over what
would change, and it is put back with the same bits. Several ranks also measure steps whose gradients stay where they
are: what they save is the time of the all-reduce.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from swav_dali.ranks.world import World, sum_over_ranks

WARM_UP = 3
STEPS = 20
MOST_SECONDS = 5.0
"""A step of many seconds, on a CPU, is known after a few."""
_FORWARD_AND_BACKWARD = 3
"""Backward is two multiplications for every one of forward."""


class Restorable(Protocol):
    """What a step changes."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> object: ...


@dataclass(frozen=True, slots=True)
class Headspace:
    """Rates without a data path.

    Attributes:
        images_per_second: over all ranks.
        seconds_per_step: of the slowest rank.
        reduce_share: share of such a step that goes into averaging the gradients over the ranks; 0 on one rank.
        flops_per_image: arithmetic of forward and backward.
    """

    images_per_second: float
    seconds_per_step: float
    reduce_share: float = 0.0
    flops_per_image: float = float("nan")


def measure_headspace(
    step: Callable[[], object],
    *,
    forward: Callable[[], object],
    images: int,
    forward_images: int | None = None,
    world: World,
    changes: Mapping[str, Restorable],
    alone: Callable[[], AbstractContextManager[None]] | None = None,
) -> Headspace:
    """Time `step`, on every rank together, and leave `changes` as they were; collective.

    Args:
        step: one whole training step on a batch that lies on the device.
        forward: the network's part of it, without gradients and without its parallel wrapper.
        images: images of that batch on this rank.
        forward_images: images that `forward` takes, None for all.
        world: this rank among those that measure.
        changes: the parts of the run that a step changes.
        alone: a context in which the gradients are not averaged over the ranks, None on one rank.
    """
    before = {name: _copied(part.state_dict()) for name, part in changes.items()}
    seconds = _seconds_per_step(step, world, nullcontext)
    without = seconds if alone is None else _seconds_per_step(step, world, alone)
    flops = _forward_flops(forward) * _FORWARD_AND_BACKWARD / (forward_images or images)
    for name, part in changes.items():
        part.load_state_dict(before[name])
    slowest, total = _over_ranks(world, seconds, images)
    return Headspace(total / slowest, slowest, max(0.0, 1 - without / seconds), flops)


def _forward_flops(forward: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return int(counter.get_total_flops())


def _seconds_per_step(
    step: Callable[[], object], world: World, context: Callable[[], AbstractContextManager[None]]
) -> float:
    """Median of the last steps; all ranks do the same number, which the first step decides on."""
    times: list[float] = []
    count = 1
    with context():
        while len(times) < count:
            began = time.perf_counter()
            step()
            if world.device.type == "cuda":
                torch.cuda.synchronize(world.device)
            times.append(time.perf_counter() - began)
            if len(times) == 1:
                count = _fitting(times[0], world)
    timed = sorted(times[min(WARM_UP, count - 1) :])
    return timed[len(timed) // 2]


def _fitting(seconds: float, world: World) -> int:
    """Steps that fit into MOST_SECONDS, 2 to WARM_UP + STEPS, by the mean over the ranks, so that all do as many."""
    mean = sum_over_ranks(torch.tensor([seconds], dtype=torch.float64, device=world.device)).item() / world.size
    return max(2, min(WARM_UP + STEPS, int(MOST_SECONDS / mean)))


def _over_ranks(world: World, seconds: float, images: int) -> tuple[float, float]:
    """The slowest rank's seconds, and the images of all ranks."""
    rows = torch.zeros(world.size, 2, dtype=torch.float64, device=world.device)
    rows[world.rank] = torch.tensor([seconds, images], dtype=torch.float64)
    slowest, total = sum_over_ranks(rows).max(dim=0).values[0], rows[:, 1].sum()
    return slowest.item(), total.item()


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, state)
    return copied
