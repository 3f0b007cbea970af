"""Who takes part in a bench: our parts from the reader to the whole, then the peers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from pipelines.bench import stages
from pipelines.config import Augmentation, CropGroup, CropsBy, LoaderOptions, resolve_crops_by
from shards.harness.makers import Entry
from shards.tars.shardset import ShardSet

READ, DECODE, CUT, COLOUR = "read", "read + decode", "... + crop, resize", "... + flip, jitter, gray"
EXACT, FAST, PILLOW, WEBDATASET = "full, exact", "full, fast", "torchvision on Pillow", "webdataset + torchvision"
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
    """Every entry for a number of threads, in the order of the report."""
    options, augment, device = replace(setting.options, threads=threads), setting.augment, setting.device
    by: CropsBy = resolve_crops_by("auto", on_cuda=device.type == "cuda")
    size, shards = setting.batch_size, setting.shards
    part = partial(stages.open_part, shards, batch_size=size, device=device, options=options)
    whole = partial(stages.open_full, shards, crops=setting.crops, batch_size=size, device=device, options=options)
    enter = partial(Entry, threads=threads, ahead=options.prefetch, bytes_per_item=setting.bytes_per_image)
    entries = [
        enter(name=READ, open=partial(part, decodes=False)),
        enter(name=DECODE, open=partial(part, decodes=True)),
        enter(name=CUT, open=partial(whole, augment=stages.without(augment), crops_by=by)),
        enter(name=COLOUR, open=partial(whole, augment=stages.without(augment, "flip", "jitter", "gray"), crops_by=by)),
        enter(name=EXACT, open=partial(whole, augment=augment, crops_by=by)),
        enter(name=FAST, open=partial(whole, augment=augment, crops_by="dali")),
    ]
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
