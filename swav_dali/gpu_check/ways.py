"""Ways to train that cost or save something on a GPU: float16, blocks computed again, and the stop for a checkpoint."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swav_dali.gpu_check.loading import device_of, wait
from swav_dali.gpu_check.parts import milliseconds
from swav_dali.gpu_check.setting import Setting
from swav_dali.gpu_check.training import made, noise, one_step
from swav_dali.method.larc import Larc
from swav_dali.method.scale import LossScale
from swav_dali.model.net import SwavNet
from swav_dali.model.recompute import recompute_blocks
from swav_dali.ranks.world import World
from swav_dali.run.saving import CheckpointWriter


def ways(setting: Setting) -> dict[str, Any]:
    """Milliseconds and torch's peak memory of a step of the big batch: as it is, in float16, with blocks recomputed."""
    groups = [group.float() for group in noise(setting, setting.batches["big"])]
    usual = torch.bfloat16 if setting.device == "cuda" else None
    half = torch.float16 if setting.device == "cuda" else None
    scale = LossScale(device_of(setting), start=65536.0)
    found = {
        "as it is": _timed(setting, groups, usual, recompute=False, scale=None),
        "float16": _timed(setting, groups, half, recompute=False, scale=scale),
        "recomputed": _timed(setting, groups, usual, recompute=True, scale=None),
    }
    return {f"{way}, {what}": value for way, each in found.items() for what, value in each.items()}


def saving(setting: Setting) -> dict[str, float]:
    """Milliseconds that the loop stops for a checkpoint, and until it is on disk."""
    net, optimizer = _trained(setting)
    world = World(rank=0, size=1, local_rank=0, device=device_of(setting))
    with tempfile.TemporaryDirectory(dir=setting.work) as folder:
        writer = CheckpointWriter(Path(folder), world)
        wait(setting)
        began = time.perf_counter()
        writer.begin(
            step=1, epoch=0, shared={"model": net, "optimizer": optimizer}, per_rank={}, config={}, versions={}
        )
        stopped = time.perf_counter()
        writer.finish()
        written = time.perf_counter()
    return {"stop_ms": round(1000 * (stopped - began), 2), "written_ms": round(1000 * (written - began), 2)}


def _trained(setting: Setting) -> tuple[SwavNet, Larc]:
    net, optimizer = made(setting)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return net, optimizer


def _timed(
    setting: Setting, groups: Sequence[Tensor], dtype: torch.dtype | None, *, recompute: bool, scale: LossScale | None
) -> dict[str, Any]:
    net, optimizer = _trained(setting)
    if recompute:
        recompute_blocks(net.trunk)
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ms = milliseconds(setting, lambda: one_step(net, optimizer, groups, dtype, scale))
    found: dict[str, Any] = {"ms": ms}
    if setting.device == "cuda":
        found["torch_peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    if scale is not None:
        found["steps_overflowed"] = int(scale.overflowed)
    return found
