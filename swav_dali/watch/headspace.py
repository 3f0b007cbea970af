"""What this model does when data costs nothing: some steps on batches that are there already.

Every later rate is a share of that figure. A measured step does everything a step does, so the caller hands over what
would change, and it is put back with the same bits.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from swav_dali.ranks.group import sum_over_ranks
from swav_dali.ranks.world import World
from swav_dali.watch.spans import Spans

WARM_UP = 3
STEPS = 20
BATCHES = 10
MOST_BYTES = 2**30
"""Of all cached batches."""
MOST_SECONDS = 5.0
"""A step of many seconds, on a CPU, is known after a few."""
_FORWARD_AND_BACKWARD = 3
"""Backward is two multiplications for every one of forward."""
Batch = TypeVar("Batch")


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
        flops_per_image: arithmetic of forward and backward.
        parts: seconds per step of every part that was timed, on this rank.
    """

    images_per_second: float
    seconds_per_step: float
    flops_per_image: float = float("nan")
    parts: Mapping[str, float] = field(default_factory=dict)


def cached(groups: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """BATCHES copies of a batch, each with memory of its own, or as many as a small part of the memory holds.

    One batch again and again would lie in caches that a real one never meets; what is in it costs nothing.
    """
    size = sum(group.nbytes for group in groups)
    device = groups[0].device
    room = MOST_BYTES
    if device.type == "cuda":  # before the first step nobody knows what activations will take
        room = min(room, torch.cuda.get_device_properties(device).total_memory // 64)
    count = max(1, min(BATCHES, room // size))
    return [tuple(groups), *(tuple(group.clone() for group in groups) for _ in range(count - 1))]


def measure_headspace(
    step: Callable[[Batch], object],
    batches: Sequence[Batch],
    *,
    forward: Callable[[], object],
    images: int,
    forward_images: int | None = None,
    world: World,
    changes: Mapping[str, Restorable],
    spans: Spans,
) -> Headspace:
    """Time `step` over `batches`, on every rank together, and leave `changes` as they were; collective.

    Args:
        step: one whole training step on a batch that lies on the device.
        batches: such batches, taken in turns.
        forward: the network's part of a step, without gradients and without its parallel wrapper.
        images: images of a batch on this rank.
        forward_images: images that `forward` takes, None for all.
        world: this rank among those that measure.
        changes: the parts of the run that a step changes.
        spans: what times the parts of a step; what it holds of the run is left alone.
    """
    before = {name: _copied(part.state_dict()) for name, part in changes.items()}
    with spans.apart():
        seconds = _seconds_per_step(step, batches, world, spans)
        parts = spans.read()
    flops = _forward_flops(forward) * _FORWARD_AND_BACKWARD / (forward_images or images)
    for name, part in changes.items():
        part.load_state_dict(before[name])
    slowest, total = _over_ranks(world, seconds, images)
    return Headspace(total / slowest, slowest, flops, parts)


def _forward_flops(forward: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return int(counter.get_total_flops())


def _seconds_per_step(step: Callable[[Batch], object], batches: Sequence[Batch], world: World, spans: Spans) -> float:
    """Of the steps after some to warm up; all ranks do the same number, which the first step decides on.

    On a CPU the median. A CUDA device is waited for once, at the end: steps overlap with the launches of the next.
    """
    turns = itertools.cycle(batches)
    warm = _timed(step, turns, 1, world, spans)
    count = _fitting(warm[0], world)
    _timed(step, turns, min(WARM_UP, count - 1) - 1, world, spans)
    spans.read()
    timed = sorted(_timed(step, turns, count - min(WARM_UP, count - 1), world, spans))
    return timed[len(timed) // 2]


def _timed(
    step: Callable[[Batch], object], turns: Iterator[Batch], count: int, world: World, spans: Spans
) -> list[float]:
    """Seconds of each of `count` steps; on a CUDA device their mean alone."""
    is_cuda = world.device.type == "cuda"
    times: list[float] = []
    first = began = time.perf_counter()
    for _ in range(count):
        step(next(turns))
        spans.end_step()
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    if is_cuda and count:
        torch.cuda.synchronize(world.device)
        return [(time.perf_counter() - first) / count]
    return times


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
