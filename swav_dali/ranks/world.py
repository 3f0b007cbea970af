"""Who this process is among the ranks, and the few collectives the trainer needs.

`World.detect` is the only reader of the launch environment (torchrun, then srun, else one process); everything
else is told. The collectives do nothing without a process group, so the maths reads the same on one rank.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from swav_dali.errors import ConfigError, TrainingError
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.meeting import meet
from swav_dali.ranks.timer import COLLECTIVES, Timer, untimed

T = TypeVar("T")
_POLL_SECONDS = 0.05
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
_FIRST_HOST = re.compile(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?")  # gpu[003-010,12]-ib,login1 -> gpu 003 -ib


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One rank's place.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0; also the index of its CUDA device.
        device: where this rank trains.
        ranks_per_node: processes on this machine.
        rendezvous: where the ranks meet, as torch's `init_method`.
    """

    rank: int
    size: int
    local_rank: int
    device: torch.device
    ranks_per_node: int = 1
    rendezvous: str = "env://"

    @property
    def is_main(self) -> bool:
        """Whether this rank writes what is written once."""
        return self.rank == 0

    @classmethod
    def detect(cls, device: Literal["auto", "cpu", "cuda"] = "auto") -> World:
        """Read torchrun's variables, else those of srun, else be alone.

        A batch script that starts Python without srun is alone too: only srun sets SLURM_STEP_ID.

        Raises:
            ConfigError: variables that are half set or no numbers, no address to meet at, CUDA asked for where
                there is none, or more ranks on a machine than devices.
        """
        env = os.environ
        if any(name in env for name in _TORCHRUN):
            rank, size, local_rank = _numbers(env, _TORCHRUN, "start with torchrun")
            per_node, rendezvous = int(env.get("LOCAL_WORLD_SIZE", size)), "env://"
            _require(env, ("MASTER_ADDR", "MASTER_PORT"), "start with torchrun")
        elif "SLURM_STEP_ID" in env and "SLURM_PROCID" in env:
            rank, size, local_rank = _numbers(env, _SLURM, "start with srun")
            per_node, rendezvous = _slurm_tasks_per_node(env, size), _slurm_rendezvous(env, size)
        else:
            rank, size, local_rank, per_node, rendezvous = 0, 1, 0, 1, "env://"
        return cls(
            rank=rank,
            size=size,
            local_rank=local_rank,
            device=_pick_device(device, local_rank),
            ranks_per_node=per_node,
            rendezvous=rendezvous,
        )


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


def _numbers(env: Mapping[str, str], names: tuple[str, ...], fix: str) -> list[int]:
    _require(env, names, fix)
    for name in names:
        if not env[name].isdecimal():
            raise ConfigError("not a number", where=name, found=repr(env[name]), fix=fix)
    return [int(env[name]) for name in names]


def _require(env: Mapping[str, str], names: tuple[str, ...], fix: str) -> None:
    missing = [name for name in names if name not in env]
    if missing:
        raise ConfigError(
            "the launch environment is half set",
            where=", ".join(missing),
            found="not set",
            expected=f"{', '.join(names)} together",
            fix=f"{fix}, or unset the others to run one process",
        )


def _slurm_tasks_per_node(env: Mapping[str, str], size: int) -> int:
    counts = re.match(r"\d+", env.get("SLURM_STEP_TASKS_PER_NODE", ""))  # as in 8(x4)
    return int(counts.group()) if counts else size


def _slurm_rendezvous(env: Mapping[str, str], size: int) -> str:
    if size == 1 or ("MASTER_ADDR" in env and "MASTER_PORT" in env):
        return "env://"
    host = _FIRST_HOST.match(env.get("SLURM_STEP_NODELIST", ""))
    if host is None or not env.get("SLURM_JOB_ID", "").isdecimal():
        raise ConfigError(
            "no address for the ranks to meet at",
            where="MASTER_ADDR, MASTER_PORT",
            found="neither these nor SLURM_STEP_NODELIST and SLURM_JOB_ID",
            fix="export the first host's name and a free port",
        )
    port = 10_000 + int(env["SLURM_JOB_ID"]) % 20_000  # below Linux's ephemeral ports, apart for neighbouring jobs
    return f"tcp://{''.join(part or '' for part in host.groups())}:{port}"


def _pick_device(device: Literal["auto", "cpu", "cuda"], local_rank: int) -> torch.device:
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("torch sees no CUDA device", where="--device", found="cuda", fix="--device cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            "more ranks than CUDA devices on this machine",
            where=f"local rank {local_rank}",
            found=f"{torch.cuda.device_count()} visible device(s)",
            expected="one per rank",
            fix="start fewer ranks, or let every rank see all devices (srun without --gpus-per-task)",
        )
    return torch.device("cuda", local_rank)
