"""Who takes part in a bench: our parts from the reader to the whole, then the peers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from pipelines.bench import stages
from pipelines.config import Augmentation, CropGroup, CropsBy, LoaderOptions
from shards.harness.makers import Entry
from shards.tars.shardset import ShardSet

READ, DECODE, CUT, COLOUR = "read", "read + decode", "... + crop, resize", "... + flip, jitter, gray"
PILLOW, WEBDATASET = "torchvision on Pillow", "webdataset + torchvision"
FULL: dict[CropsBy, str] = {by: f"full, crops by {by}" for by in ("gpu", "cpu", "dali")}
CROPS_ALONE = "crops by gpu alone"
ENGINE = {load: f"read + decode, engine {load:g}" for load in (0.0, 0.65, 1.0)}
"""Decoding with a share of the pictures given to the GPU's JPEG engine."""
_DATA_LOADER_AHEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every contestant works on; `options.threads` is set per entry, and `bytes_per_image` is for MB/s."""

    shards: ShardSet
    crops: tuple[CropGroup, ...]
    augment: Augmentation
    batch_size: int
    device: torch.device
    options: LoaderOptions
    bytes_per_image: float = 0.0


def line_up(setting: Setting, *, threads: int, peers: bool) -> list[Entry]:
    """Every entry for a number of threads, in the order of the report.

    On a CPU the parts of the way to a batch; on a GPU the ways to make crops, and decoding by the engine.
    """
    options, augment, device = replace(setting.options, threads=threads), setting.augment, setting.device
    size, shards = setting.batch_size, setting.shards
    part = partial(stages.open_part, shards, batch_size=size, device=device)
    whole = partial(stages.open_full, shards, crops=setting.crops, batch_size=size, device=device, options=options)
    enter = partial(Entry, threads=threads, ahead=options.prefetch, bytes_per_item=setting.bytes_per_image)
    entries = [enter(name=READ, open=partial(part, decodes=False, options=options))]
    if device.type == "cuda":
        alone = partial(stages.open_crops_alone, shards, crops=setting.crops, augment=augment, batch_size=size)
        entries += [
            *(
                enter(name=name, open=partial(part, decodes=True, options=replace(options, hardware_decoder_load=load)))
                for load, name in ENGINE.items()
            ),
            enter(name=CROPS_ALONE, open=partial(alone, device=device, options=options)),
        ]
        ways: tuple[CropsBy, ...] = ("gpu", "cpu", "dali")
    else:
        plain, colour = stages.without(augment), stages.without(augment, "flip", "jitter", "gray")
        entries += [
            enter(name=DECODE, open=partial(part, decodes=True, options=options)),
            enter(name=CUT, open=partial(whole, augment=plain, crops_by="cpu")),
            enter(name=COLOUR, open=partial(whole, augment=colour, crops_by="cpu")),
        ]
        ways = ("cpu", "dali")
    entries += [enter(name=FULL[by], open=partial(whole, augment=augment, crops_by=by)) for by in ways]
    return [*entries, *_peers(setting, threads)] if peers else entries


def _peers(setting: Setting, threads: int) -> list[Entry]:
    from pipelines.bench import peers  # imports torchvision

    make = peers.PillowCrops(setting.crops, setting.augment)
    entries = [
        Entry(
            name=name,
            threads=threads,
            ahead=_DATA_LOADER_AHEAD * threads,
            bytes_per_item=setting.bytes_per_image,
            open=partial(open_peer, setting.shards, make, batch_size=setting.batch_size, workers=threads),
        )
        for name, open_peer in ((PILLOW, peers.pillow_loader), (WEBDATASET, peers.webdataset_loader))
    ]
    return [entry for entry in entries if entry.name != WEBDATASET or len(setting.shards.shards) >= threads]
