"""Figures of training steps: on synthetic input, on the data path, and whether deterministic steps repeat."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import torch
from torch import Tensor

from pipelines.config import CropsBy
from swav_dali.config.sections import SwavConfig
from swav_dali.gpu_check.loading import device_of, endless, open_one, pixels, wait
from swav_dali.gpu_check.setting import Setting
from swav_dali.method.larc import Larc
from swav_dali.method.scale import LossScale
from swav_dali.method.step import train_step
from swav_dali.model.net import SwavNet
from swav_dali.ranks.device import prepare_device

Step = Callable[[Sequence[Tensor]], Any]
_WARM_UP = 5


def trained(setting: Setting, *, batch: str, crops_by: CropsBy | None) -> dict[str, Any]:
    """Images/s of whole steps, the host's and the device's wait for data, and memory; synthetic input for None."""
    size = setting.batches[batch]
    with ExitStack() as stack:
        if crops_by is None:
            batches = _same(noise(setting, size))
        else:
            loader = open_one(setting, batch=size, crops_by=crops_by, precision=pixels(setting))
            stack.enter_context(closing(loader))
            batches = (made.groups for made in endless(loader))
        if setting.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        net, step = build(setting)
        del net
        return _timed(setting, step, batches, size)


def build(setting: Setting, *, deterministic: bool = False) -> tuple[SwavNet, Step]:
    """A fresh network and one training step of it, as the trainer runs it."""
    device = device_of(setting)
    prepare_device(device, deterministic=deterministic)
    torch.manual_seed(0)
    net, optimizer = made(setting)
    dtype = torch.bfloat16 if setting.device == "cuda" else None
    return net, lambda groups: one_step(net, optimizer, groups, dtype)


def made(setting: Setting) -> tuple[SwavNet, Larc]:
    """A fresh channels_last network on the device, and its optimizer."""
    net = SwavNet(setting.arch, num_prototypes=setting.num_prototypes)
    net = net.to(memory_format=torch.channels_last).to(device_of(setting))
    return net, Larc(net.parameters(), lr=0.1)


def one_step(
    net: SwavNet, optimizer: Larc, groups: Sequence[Tensor], dtype: torch.dtype | None, scale: LossScale | None = None
) -> Any:
    """A training step without a queue, as the trainer makes it."""
    return train_step(
        net,
        groups,
        model=net,
        optimizer=optimizer,
        queue=None,
        learning_rate=0.1,
        freeze_prototypes=False,
        swav=SwavConfig(),
        autocast_dtype=dtype,
        loss_scale=scale,
    )


def noise(setting: Setting, batch: int) -> list[Tensor]:
    """One batch of unit noise, channels_last and of the pixels' type."""
    shapes = [(batch, group.num, group.size, group.size, 3) for group in setting.crops]
    kind: dict[str, Any] = {"device": device_of(setting), "dtype": getattr(torch, pixels(setting))}
    return [torch.randn(shape, **kind).permute(0, 1, 4, 2, 3) for shape in shapes]


def _same(groups: list[Tensor]) -> Iterator[Sequence[Tensor]]:
    while True:
        yield groups


def _timed(setting: Setting, step: Step, batches: Iterator[Sequence[Tensor]], size: int) -> dict[str, Any]:
    for _ in range(1 if setting.tiny else _WARM_UP):
        step(next(batches))
    wait(setting)
    host, events, began = 0.0, [], time.perf_counter()
    for _ in range(setting.steps):
        asked = time.perf_counter()
        before, groups, after = _mark(setting), next(batches), _mark(setting)
        host += time.perf_counter() - asked
        events.append((before, after))
        step(groups)
    wait(setting)
    seconds = time.perf_counter() - began
    waited = sum(one.elapsed_time(other) / 1000 for one, other in events if one is not None and other is not None)
    return {
        "batch": size,
        "images_per_second": round(setting.steps * size / seconds, 1),
        "ms_per_step": round(1000 * seconds / setting.steps, 2),
        "host_wait_share": round(host / seconds, 4),
        "device_wait_share": round(waited / seconds, 4) if setting.device == "cuda" else None,
        **_memory(setting),
    }


def _mark(setting: Setting) -> torch.cuda.Event | None:
    """A point of torch's stream: two of them say how long the device had nothing but the hand-over to do."""
    if setting.device != "cuda":
        return None
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _memory(setting: Setting) -> dict[str, float]:
    """GiB: torch's peak, and all that the device holds, DALI's pool and the CUDA context included."""
    if setting.device != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "torch_peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "device_used_gib": round((total - free) / 2**30, 2),
    }


def deterministic(setting: Setting) -> dict[str, Any]:
    """Whether six steps with --deterministic leave the same bits in every weight, twice from the same start."""
    try:
        one, other = _six_steps(setting), _six_steps(setting)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = setting.device == "cuda"
    return {"same_bits": one == other, "weights": one}


def _six_steps(setting: Setting) -> str:
    net, step = build(setting, deterministic=True)
    torch.manual_seed(1)
    groups = noise(setting, setting.batches["small"])
    for _ in range(6):
        step(groups)
    content = b"".join(parameter.detach().cpu().numpy().tobytes() for parameter in net.parameters())
    return hashlib.sha256(content).hexdigest()[:16]
