"""What the ranks of a run do together: meet, add up, hear rank 0, wait for each other.

All of it does nothing without a process group, so the maths reads the same on one rank.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

from swav_dali.errors import TrainingError
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.meeting import meet
from swav_dali.ranks.timer import COLLECTIVES, Timer, untimed
from swav_dali.ranks.world import World

T = TypeVar("T")
_POLL_SECONDS = 0.05


@contextmanager
def process_group(
    world: World, timeout_seconds: float = 600.0, start_timeout_seconds: float = 1800.0
) -> Iterator[None]:
    """The ranks' process group for the length of the block, NCCL on CUDA and gloo on CPUs; nothing on one rank.

    Args:
        world: this rank.
        timeout_seconds: how long a collective may wait for a rank that does not come.
        start_timeout_seconds: how long the ranks may take to meet, and to answer each other's questions at the start.
    """
    if world.size == 1:
        yield
        return
    is_cuda = world.device.type == "cuda"
    start_timeout = timedelta(seconds=start_timeout_seconds)
    store = meet(world.rendezvous, rank=world.rank, size=world.size, timeout=start_timeout)
    with abort_together(world, store):
        dist.init_process_group(
            "nccl" if is_cuda else "gloo",
            store=store,
            rank=world.rank,
            world_size=world.size,
            timeout=timedelta(seconds=timeout_seconds),
            device_id=world.device if is_cuda else None,
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_over_ranks(tensor: Tensor, timed: Timer = untimed) -> Tensor:
    """Sum `tensor` over the ranks, in place, with one all-reduce, which is `timed`; returns it."""
    if dist.is_initialized():
        with timed(COLLECTIVES):
            dist.all_reduce(tensor)
    return tensor


def from_main(value: T) -> T:
    """Rank 0's `value` on every rank; collective. Only what JSON can say, so that nothing is ever unpickled."""
    if not dist.is_initialized():
        return value
    store = dist.distributed_c10d._get_default_store()
    number = store.add(f"from-main/asked/{dist.get_rank()}", 1)
    key, until = f"from-main/{number}", time.monotonic() + store.timeout.total_seconds()  # type: ignore[attr-defined]
    if dist.get_rank() == 0:
        store.set(key, json.dumps(value))
    while not store.check([key]):  # a blocking get would keep the threads of this rank from the store
        if time.monotonic() > until:
            raise TrainingError("rank 0 has not answered in time", where="start of the ranks")
        time.sleep(_POLL_SECONDS)
    answer: T = json.loads(store.get(key))
    return answer


def barrier() -> None:
    """Wait for all ranks."""
    if dist.is_initialized():
        dist.barrier()
