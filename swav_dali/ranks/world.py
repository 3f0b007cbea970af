"""Who this process is among the ranks.

`World.detect` is the only reader of the launch environment (torchrun, then srun, else one process); everything else is
told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from swav_dali.errors import ConfigError

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
