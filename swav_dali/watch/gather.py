"""Every rank's figures on every rank: one copy to the host and, with several ranks, one collective."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from swav_dali.ranks.world import World
from swav_dali.watch.record import Gathered, Local


def gather(figures: Local, world: World) -> Gathered:
    """Every rank's value of every figure; collective, and all ranks must offer the same names in the same order.

    Values travel as float64, so counts stay exact.
    """
    device = {name: value for name, value in figures.items() if isinstance(value, Tensor)}
    host = {name: float(value) for name, value in figures.items() if not isinstance(value, Tensor)}
    if world.size == 1:
        copied = torch.stack([value.double() for value in device.values()]).tolist() if device else []
        known = {**host, **dict(zip(device, copied, strict=True))}
        return {name: [known[name]] for name in figures}
    parts = [value.double().to(world.device) for value in device.values()]
    row = torch.cat([torch.tensor(list(host.values()), dtype=torch.float64, device=world.device), *map(_one, parts)])
    rows = [torch.empty_like(row) for _ in range(world.size)]
    dist.all_gather(rows, row)
    columns = torch.stack(rows).T.tolist()
    known_by_rank = dict(zip([*host, *device], columns, strict=True))
    return {name: known_by_rank[name] for name in figures}


def _one(scalar: Tensor) -> Tensor:
    return scalar.reshape(1)
