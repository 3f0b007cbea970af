"""The trunk alone: eager against compiled, BatchNorm against SyncBatchNorm, in milliseconds of forward and backward."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules import _functions

from swav_dali.gpu_check.loading import device_of
from swav_dali.gpu_check.parts import milliseconds
from swav_dali.gpu_check.setting import Setting
from swav_dali.gpu_check.training import noise
from swav_dali.model.net import SwavNet


def compiled(setting: Setting) -> dict[str, Any]:
    """The trunk over all crops of the big batch, eager and through torch.compile."""
    net = _net(setting)
    groups = [group.flatten(0, 1) for group in noise(setting, setting.batches["big"])]
    backend = "eager" if setting.tiny else "inductor"  # no compiler where the list is only rehearsed
    faster: Any = torch.compile(net.trunk, backend=backend)
    eager = milliseconds(setting, lambda: _forward_backward(setting, net.trunk, groups))
    ours = milliseconds(setting, lambda: _forward_backward(setting, faster, groups))
    return {"eager": eager, "compiled": ours, "backend": backend}


def batch_norms(setting: Setting) -> dict[str, Any]:
    """BatchNorm, and SyncBatchNorm's own kernels and collectives over a group of one rank."""
    net = _net(setting)
    groups = [group.flatten(0, 1) for group in noise(setting, setting.batches["small"])]
    found: dict[str, Any] = {"BatchNorm": milliseconds(setting, lambda: _forward_backward(setting, net.trunk, groups))}
    if setting.device == "cpu":
        return {**found, "SyncBatchNorm": "torch has none for CPUs"}
    with tempfile.NamedTemporaryFile() as store:
        dist.init_process_group("nccl", init_method=f"file://{store.name}.group", rank=0, world_size=1)
        try:
            synced = _synced(net)
            found["SyncBatchNorm"] = milliseconds(setting, lambda: _forward_backward(setting, synced.trunk, groups))
        finally:
            dist.destroy_process_group()
    return found


class _AlwaysSynced(nn.BatchNorm2d):
    """SyncBatchNorm's path even in a group of one, where torch would take BatchNorm's."""

    def forward(self, crops: Tensor) -> Tensor:
        group, size = dist.group.WORLD, dist.get_world_size()
        statistics = self.running_mean, self.running_var
        normalized: Tensor = _functions.SyncBatchNorm.apply(
            crops, self.weight, self.bias, *statistics, self.eps, self.momentum, group, size
        )
        return normalized


def _synced(net: SwavNet) -> SwavNet:
    synced = copy.deepcopy(net)
    for module in list(synced.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                replaced = _AlwaysSynced(child.num_features).to(child.weight.device)
                replaced.load_state_dict(child.state_dict())
                setattr(module, name, replaced)
    return synced


def _net(setting: Setting) -> SwavNet:
    net = SwavNet(setting.arch, num_prototypes=setting.num_prototypes)
    return net.to(memory_format=torch.channels_last).to(device_of(setting))


def _forward_backward(setting: Setting, trunk: Callable[[Tensor], Tensor], groups: list[Tensor]) -> None:
    is_cuda = setting.device == "cuda"
    with torch.autocast(setting.device, dtype=torch.bfloat16, enabled=is_cuda):
        total = sum(trunk(group).float().sum() for group in groups)
    assert isinstance(total, Tensor)
    total.backward()
