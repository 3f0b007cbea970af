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
    entries = [*_parts(setting, threads), *_wholes(setting, threads)]
    return [*entries, *_peers(setting, threads)] if peers else entries


def _parts(setting: Setting, threads: int) -> list[Entry]:
    options = replace(setting.options, threads=threads)
    return [
        Entry(
            name=name,
            threads=threads,
            ahead=options.prefetch,
            bytes_per_item=setting.bytes_per_image,
            open=partial(
                stages.open_part,
                setting.shards,
                decodes=decodes,
                batch_size=setting.batch_size,
                device=setting.device,
                options=options,
            ),
        )
        for name, decodes in ((READ, False), (DECODE, True))
    ]


def _wholes(setting: Setting, threads: int) -> list[Entry]:
    options, augment = replace(setting.options, threads=threads), setting.augment
    by: CropsBy = resolve_crops_by("auto", on_cuda=setting.device.type == "cuda")
    chosen: tuple[tuple[str, CropsBy, Augmentation], ...] = (
        (CUT, by, stages.without(augment)),
        (COLOUR, by, stages.without(augment, "flip", "jitter", "gray")),
        (EXACT, by, augment),
        (FAST, "dali", augment),
    )
    return [
        Entry(
            name=name,
            threads=threads,
            ahead=options.prefetch,
            bytes_per_item=setting.bytes_per_image,
            open=partial(
                stages.open_full,
                setting.shards,
                crops=setting.crops,
                augment=distortions,
                crops_by=crops_by,
                batch_size=setting.batch_size,
                device=setting.device,
                options=options,
            ),
        )
        for name, crops_by, distortions in chosen
    ]


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
