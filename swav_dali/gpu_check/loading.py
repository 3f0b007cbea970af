"""Figures of the data path alone: are the crops right, are they the same again, how fast do they come."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from pipelines.batch import MultiCropBatch
from pipelines.bench.stages import open_crops_alone, open_part
from pipelines.config import Augmentation, CropsBy, LoaderOptions, Precision
from pipelines.loader import DaliLoader, open_loader
from shards.tars.shardset import load_shard_set
from swav_dali.gpu_check.setting import Setting

LEVELS = Augmentation(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
"""Normalization that leaves levels of 0 to 255 as they are."""
ALL: tuple[CropsBy, ...] = ("gpu", "cpu", "dali")
_WARM_UP = 4


def device_of(setting: Setting) -> torch.device:
    """The device that is checked."""
    return torch.device("cuda", 0) if setting.device == "cuda" else torch.device("cpu")


def open_one(
    setting: Setting,
    *,
    batch: int,
    crops_by: CropsBy,
    device: torch.device | None = None,
    augment: Augmentation | None = None,
    **options: Any,
) -> DaliLoader:
    """A training loader on the photos; `options` are LoaderOptions'."""
    given = {"threads": setting.threads, "shuffle_pool": 64 if setting.tiny else 1024, **options}
    return open_loader(
        load_shard_set(setting.photos),
        crops=setting.crops,
        augment=augment or Augmentation(),
        crops_by=crops_by,
        batch_size=batch,
        rank=0,
        world_size=1,
        seed=1,
        device=device or device_of(setting),
        options=LoaderOptions(**given),
    )


def endless(loader: DaliLoader) -> Iterator[MultiCropBatch]:
    """Its batches, epoch after epoch."""
    while True:
        yield from loader


def wait(setting: Setting) -> None:
    """For torch's stream only: waiting for the device would wait for what DALI prepares ahead."""
    if setting.device == "cuda":
        torch.cuda.current_stream().synchronize()


def pixels(setting: Setting) -> Precision:
    """The pixels' type in training: that of the autocast."""
    return "bfloat16" if setting.device == "cuda" else "float32"


def first_batches(setting: Setting) -> dict[str, Any]:
    """Seconds from nothing to a first batch, kernels compiled or loaded, and to the second start."""
    found: dict[str, Any] = {}
    for crops_by in ALL:
        began = time.perf_counter()
        times = []
        for _ in range(2):
            with closing(open_one(setting, batch=setting.batches["small"], crops_by=crops_by)) as loader:
                next(iter(loader))
                wait(setting)
            times.append(round(time.perf_counter() - began, 2))
            began = time.perf_counter()
        found[crops_by] = dict(zip(("seconds", "seconds_again"), times, strict=True))
    return found


def parity(setting: Setting) -> dict[str, Any]:
    """Levels between the crops of this device and those of the CPU, the same parameters, by place of decoding."""
    batch, cpu = 1 if setting.tiny else 32, torch.device("cpu")
    theirs = _first(setting, batch=batch, crops_by="cpu", device=cpu)
    chosen: dict[str, dict[str, Any]] = {
        "gpu, decoded on the CPU": {"crops_by": "gpu", "decode_on": "cpu"},
        "gpu, decoded without the engine": {"crops_by": "gpu", "hardware_decoder_load": 0.0},
        "gpu, decoded by the engine": {"crops_by": "gpu", "hardware_decoder_load": 1.0},
        "cpu, copied": {"crops_by": "cpu"},
        "dali, decoded on the CPU": {"crops_by": "dali", "decode_on": "cpu"},
    }
    return {name: _apart(_first(setting, batch=batch, **options), theirs) for name, options in chosen.items()}


def _first(setting: Setting, **changes: Any) -> list[Tensor]:
    with closing(open_one(setting, augment=LEVELS, **changes)) as loader:
        return [group.cpu().float() for group in next(iter(loader)).groups]


def _apart(ours: list[Tensor], theirs: list[Tensor]) -> list[dict[str, float]]:
    apart = [(one - other).abs() for one, other in zip(ours, theirs, strict=True)]
    return [
        {
            "mean": each.mean().item(),
            "max": each.max().item(),
            "share_that_differs": (each > 0.01).float().mean().item(),
            "share_above_1": (each > 1.01).float().mean().item(),
        }
        for each in apart
    ]


def repeated(setting: Setting) -> dict[str, dict[str, bool]]:
    """Whether two loaders give the same bits, and a third continues with them from a saved state."""
    return {crops_by: _repeated(setting, crops_by) for crops_by in ALL}


def _repeated(setting: Setting, crops_by: CropsBy) -> dict[str, bool]:
    opened = [open_one(setting, batch=setting.batches["small"], crops_by=crops_by) for _ in range(3)]
    straight, again, resumed = opened
    try:
        count = 1 if setting.tiny else 3
        expected, first = _digests(straight, 2 * count), _digests(again, count)
        resumed.load_state_dict(again.state_dict())
        return {"twice": first == expected[:count], "resumed": _digests(resumed, count) == expected[count:]}
    finally:
        for loader in opened:
            loader.close()


def _digests(loader: DaliLoader, count: int) -> list[str]:
    found = []
    for _, batch in zip(range(count), endless(loader), strict=False):
        content = b"".join(group.cpu().contiguous().view(torch.uint8).numpy().tobytes() for group in batch.groups)
        found.append(hashlib.sha256(content).hexdigest())
    return found


def alone(setting: Setting, *, crops_by: CropsBy) -> dict[str, Any]:
    """Images/s of the loader when nobody trains, and the CPU time they take."""
    batch = setting.batches["big"]
    with closing(open_one(setting, batch=batch, crops_by=crops_by, precision=pixels(setting))) as loader:
        batches = endless(loader)
        return _timed(setting, lambda: len(next(batches).labels))


def decoding(setting: Setting, *, load: float) -> dict[str, Any]:
    """Images/s of reader and decoder, with a share of the pictures given to the JPEG engine."""
    options = LoaderOptions(threads=setting.threads, shuffle_pool=64, hardware_decoder_load=load)
    stage = open_part(
        load_shard_set(setting.photos),
        decodes=True,
        batch_size=setting.batches["big"],
        device=device_of(setting),
        options=options,
    )
    with closing(stage):
        return _timed(setting, stage.run)


def crops_alone(setting: Setting) -> dict[str, Any]:
    """Microseconds of the device per image for the crops of one batch, made again and again from the same pictures."""
    batch = setting.batches["big"]
    stage = open_crops_alone(
        load_shard_set(setting.photos),
        crops=setting.crops,
        augment=Augmentation(),
        batch_size=batch,
        device=device_of(setting),
        options=LoaderOptions(threads=setting.threads, shuffle_pool=64, precision=pixels(setting)),
    )
    with closing(stage):
        timed = _timed(setting, stage.run)
    return {**timed, "microseconds_per_image": round(1e6 / timed["images_per_second"], 2)}


def _timed(setting: Setting, run: Any) -> dict[str, Any]:
    for _ in range(1 if setting.tiny else _WARM_UP):
        run()
    wait(setting)
    count, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < setting.seconds:
        count += run()
        wait(setting)
    seconds = time.perf_counter() - began
    return {
        "images_per_second": round(count / seconds, 1),
        "cpu_ms_per_image": round(1000 * (time.process_time() - cpu) / count, 3),
    }
