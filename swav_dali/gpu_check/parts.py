"""Milliseconds of the parts of a step that are not the network: codes, loss, optimizer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from swav_dali.config.sections import SwavConfig
from swav_dali.gpu_check.loading import device_of, wait
from swav_dali.gpu_check.setting import Setting
from swav_dali.method.codes import assign_codes
from swav_dali.method.larc import Larc
from swav_dali.method.loss import swapped_loss
from swav_dali.model.net import SwavNet

_DIM, _SWAV = 128, SwavConfig()


def parts(setting: Setting) -> dict[str, float]:
    """Codes without and with a full queue, loss forward and backward, LARC."""
    found: dict[str, float] = {}
    small, big, huge = setting.batches.values()
    for batch, length in ((small, 60 * small), (big, 0), (huge, 0)):
        found |= _codes_and_loss(setting, batch, length)
    net = SwavNet(setting.arch, num_prototypes=setting.num_prototypes).to(device_of(setting))
    optimizer = Larc(net.parameters(), lr=0.1)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    found["LARC"] = milliseconds(setting, optimizer.step)
    return found


def milliseconds(setting: Setting, function: Callable[[], Any]) -> float:
    """Mean of one call, over some after three to warm up."""
    repeats = 1 if setting.tiny else 20
    for _ in range(1 if setting.tiny else 3):
        function()
    wait(setting)
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    wait(setting)
    return round((time.perf_counter() - began) / repeats * 1000, 3)


def _codes_and_loss(setting: Setting, batch: int, length: int) -> dict[str, float]:
    crops = sum(group.num for group in setting.crops)
    embeddings = _unit(setting, crops, batch, _DIM)
    prototypes = _unit(setting, setting.num_prototypes, _DIM).requires_grad_()
    queued = embeddings[:2].repeat(1, length // batch, 1) if length else None

    def codes() -> Tensor:
        return assign_codes((embeddings @ prototypes.T).detach(), prototypes.detach(), queued=queued, swav=_SWAV)

    kept = codes()

    def loss() -> None:
        swapped_loss(embeddings @ prototypes.T, kept, _SWAV.assign_crops, _SWAV.temperature).backward()

    name = f"batch {batch}, queue {length}" if length else f"batch {batch}"
    return {f"codes, {name}": milliseconds(setting, codes), f"loss, {name}": milliseconds(setting, loss)}


def _unit(setting: Setting, *shape: int) -> Tensor:
    return functional.normalize(torch.randn(*shape, device=device_of(setting)), dim=-1)
