"""Our own contestants: the reader alone, reader and decoder, and the loader with less or more of the distortions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.config import Augmentation, CropGroup, CropsBy, LoaderOptions
from pipelines.graph import CropPlan, dali_device, decode, device_id, training_pipeline
from pipelines.loader import DaliLoader, open_loader, open_stage
from pipelines.reading.reader import plan_reading, read
from pipelines.streaming.stream import Stream
from shards.tars.shardset import ShardSet

PLAIN = {"flip": 0.0, "jitter": 0.0, "gray": 0.0, "blur": 0.0, "solarize": 0.0}


class LoaderStage:
    """The product itself, epoch after epoch."""

    def __init__(self, loader: DaliLoader) -> None:
        """Takes over the loader's life."""
        self._loader, self._batches = loader, _forever(loader)

    def run(self) -> int:
        batch = next(self._batches)
        if batch.groups[0].is_cuda:
            torch.cuda.current_stream().synchronize()  # the whole device would wait for what DALI prepares ahead
        return len(batch.labels)

    def workers(self) -> Sequence[int]:
        return ()

    def close(self) -> None:
        self._loader.close()


class PartStage:
    """A pipeline that ends early."""

    def __init__(self, stream: Stream, batch_size: int) -> None:
        """Takes over the stream's life."""
        self._stream, self._batch_size = stream, batch_size

    def run(self) -> int:
        self._stream.run()
        if self._stream.device.type == "cuda":
            torch.cuda.current_stream(self._stream.device).synchronize()
        return self._batch_size

    def workers(self) -> Sequence[int]:
        return ()

    def close(self) -> None:
        self._stream.close()


class CropsAlone:
    """The crops of one batch, made again and again by the stage behind the graph."""

    def __init__(self, stream: Stream, make: Callable[[Any, Sequence[Any]], Any]) -> None:
        """Take one batch's pictures and parameters from `stream`, whose life this takes over."""
        self._stream, self._make = stream, make
        self._pictures, *self._parameters, _, _ = stream.run()

    def run(self) -> int:
        self._make(self._pictures, self._parameters)
        if self._stream.device.type == "cuda":
            torch.cuda.current_stream(self._stream.device).synchronize()
        return len(self._parameters[0])

    def workers(self) -> Sequence[int]:
        return ()

    def close(self) -> None:
        self._stream.close()


def _forever(loader: DaliLoader) -> Any:
    for _ in count():
        yield from loader


def open_part(
    shards: ShardSet, *, decodes: bool, batch_size: int, device: torch.device, options: LoaderOptions
) -> PartStage:
    """The reader without anything behind it, or with the decoder."""
    is_cuda = device.type == "cuda"
    plan = plan_reading(shards, rank=0, world_size=1, seed=1, shuffle_seed=1, options=options)
    pipeline = Pipeline(
        batch_size=batch_size,
        num_threads=options.threads,
        device_id=device_id(device),
        seed=1,
        prefetch_queue_depth=options.prefetch,
    )
    with pipeline:
        encoded, digits, source = read(plan)
        first = decode(encoded, "gpu" if is_cuda else "cpu", options) if decodes else encoded
        pipeline.set_outputs(first, digits, source)
    return PartStage(Stream(pipeline, device), batch_size)


def open_crops_alone(
    shards: ShardSet,
    *,
    crops: tuple[CropGroup, ...],
    augment: Augmentation,
    batch_size: int,
    device: torch.device,
    options: LoaderOptions,
) -> CropsAlone:
    """The stage behind the graph, `--data.crops-by gpu`, without reading and decoding."""
    plan = CropPlan(crops=crops, augment=augment, crops_by="gpu", device=dali_device(device), options=options)
    pipeline = training_pipeline(
        plan_reading(shards, rank=0, world_size=1, seed=1, shuffle_seed=1, options=options),
        plan,
        batch_size=batch_size,
        seed=1,
        threads=options.threads,
        device_id=device_id(device),
    )
    return CropsAlone(Stream(pipeline, device), open_stage(plan, device))


def open_full(
    shards: ShardSet,
    *,
    crops: tuple[CropGroup, ...],
    augment: Augmentation,
    crops_by: CropsBy,
    batch_size: int,
    device: torch.device,
    options: LoaderOptions,
) -> LoaderStage:
    """The training loader of one rank."""
    loader = open_loader(
        shards,
        crops=crops,
        augment=augment,
        crops_by=crops_by,
        batch_size=batch_size,
        rank=0,
        world_size=1,
        seed=1,
        device=device,
        options=options,
    )
    return LoaderStage(loader)


def without(augment: Augmentation, *kept: str) -> Augmentation:
    """`augment` without any distortion but those named by their probability's field."""
    off: dict[str, Any] = {name: value for name, value in PLAIN.items() if name not in kept}
    return replace(augment, **off)
