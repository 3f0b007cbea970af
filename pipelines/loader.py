"""Multi-crop batches of one rank from its part of a shard set, endlessly, and resumable with the same bits.

DALI keeps the position and all random states; this file keeps the epoch. A rank's epoch is `steps_per_epoch`
batches on every rank; what DALI's reader counts beyond that (its padded last batch) is run and dropped, so that
the next epoch starts where the reader's does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nvidia.dali
import torch
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

from pipelines.batch import MultiCropBatch
from pipelines.config import Augmentation, CropGroup, CropsBy, LoaderOptions
from pipelines.crops.exact import normalization
from pipelines.fingerprint import refuse_other, settings_of
from pipelines.graph import CropPlan, dali_device, device_id, training_pipeline
from pipelines.reading.position import EpochPosition
from pipelines.reading.reader import ids_of, labels_of, parse_names, plan_reading
from pipelines.reading.seeds import stream_seeds
from pipelines.reading.steps import native_batches, steps_per_epoch
from pipelines.streaming.resilient import Made, ResilientStream, Slots, StreamPlan
from pipelines.streaming.tensors import as_tensor, crop_view
from shards.tars.shardset import ShardSet


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    shards: ShardSet
    plan: CropPlan
    batch_size: int
    rank: int
    world_size: int
    seed: int
    device: torch.device
    threads: int


def open_loader(
    shards: ShardSet,
    *,
    crops: tuple[CropGroup, ...],
    augment: Augmentation,
    crops_by: CropsBy,
    batch_size: int,
    rank: int,
    world_size: int,
    seed: int,
    device: torch.device,
    options: LoaderOptions,
) -> DaliLoader:
    """The training loader of one rank; cheap until its first batch.

    Args:
        shards: read by all ranks.
        crops: crop groups.
        augment: distortions.
        crops_by: what makes the crops; see graph.CropPlan.
        batch_size: images per step on this rank.
        rank: this rank.
        world_size: ranks.
        seed: of the run; every rank derives its own.
        device: where batches are wanted.
        options: how to read; threads must be set.

    Raises:
        PipelineError: the data set is smaller than one global batch.
    """
    plan = CropPlan(
        crops=crops,
        augment=augment,
        crops_by=crops_by,
        device=dali_device(device),
        options=options,
    )
    return DaliLoader(
        _Layout(
            shards=shards,
            plan=plan,
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            seed=seed,
            device=device,
            threads=max(options.threads, 1),
        )
    )


class DaliLoader(EpochPosition):
    """See pipelines.batch.Loader; made by `open_loader`."""

    def __init__(self, layout: _Layout) -> None:
        """Stand at the beginning of epoch 0."""
        self._layout = layout
        sizes = {
            "num_samples": layout.shards.num_samples,
            "world_size": layout.world_size,
            "batch_size": layout.batch_size,
        }
        super().__init__(steps_per_epoch=steps_per_epoch(**sizes), batch_size=layout.batch_size)
        self._dropped = native_batches(**sizes) - self._steps
        self._dtype: torch.dtype = getattr(torch, layout.plan.precision)
        self._stage = open_stage(layout.plan, layout.device) if layout.plan.crops_by == "gpu" else None
        self._first_epoch = 0
        self._stream = self._new_stream(None)
        self._num_replaced = 0

    @property
    def num_replaced(self) -> int:
        """Samples that could not be decoded and that others stood in for, since the beginning of the run."""
        return self._num_replaced

    def __iter__(self) -> Iterator[MultiCropBatch]:
        """The rest of the current epoch; raises SampleError for a sample that cannot be decoded."""
        while self._step < self._steps:
            made = self._stream.next()
            self._step += 1
            self._num_replaced += len(made.replaced)
            yield self._batch(made)
        for _ in range(self._dropped):
            self._stream.next()
        self._epoch, self._step = self._epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch yielded, DALI's own state, and what both belong to."""
        return {
            "epoch": self._epoch,
            "step_in_epoch": self._step,
            "num_replaced": self._num_replaced,
            "first_epoch": self._first_epoch,
            "blob": self._stream.state,
            "fingerprint": self._fingerprint(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            LoaderStateError: it belongs to other shards, another graph, rank or DALI; each difference is named.
        """
        refuse_other(state["fingerprint"], self._fingerprint())
        self._restart(int(state["first_epoch"]), state["blob"])
        self._epoch, self._step = int(state["epoch"]), int(state["step_in_epoch"])
        self._num_replaced = int(state["num_replaced"])

    def refuse_other_data(self, state: dict[str, Any]) -> None:
        """Raise LoaderStateError if `state`, of any rank of any world, is of other shards or another graph."""
        refuse_other(state["fingerprint"], self._fingerprint(), free=("world_size", "rank", "batch_size", "dali"))

    def start_epoch(self, epoch: int) -> None:
        """Stand at the beginning of `epoch`; order and distortions depend on the seed, the rank and `epoch`."""
        self._restart(epoch, None)
        self._epoch, self._step = epoch, 0

    def close(self) -> None:
        """Release the pipeline; iterating again opens it anew, from the last state."""
        self._stream.close()

    def _restart(self, first_epoch: int, state: bytes | None) -> None:
        self._stream.close()
        self._first_epoch = first_epoch
        self._stream = self._new_stream(state)

    def _new_stream(self, state: bytes | None) -> ResilientStream:
        layout = self._layout
        seeds = stream_seeds(layout.seed, epoch=self._first_epoch, rank=layout.rank)
        reading = plan_reading(
            layout.shards,
            rank=layout.rank,
            world_size=layout.world_size,
            seed=seeds.pool,
            shuffle_seed=seeds.tars,
            options=layout.plan.options,
        )

        def build(state: bytes | None, slots: Slots) -> Pipeline:
            return training_pipeline(
                reading,
                layout.plan,
                batch_size=layout.batch_size,
                seed=seeds.crops,
                threads=layout.threads,
                device_id=device_id(layout.device),
                checkpoint=state,
                slots=slots,
            )

        plan = StreamPlan(
            reading=reading,
            build=build,
            batch_size=layout.batch_size,
            device=layout.device,
            decoder=layout.plan.decoder,
            options=layout.plan.options,
        )
        return ResilientStream(plan, state)

    def _batch(self, made: Made) -> MultiCropBatch:
        *crops, digits, source = made.outputs
        names = parse_names(as_tensor(source))
        return MultiCropBatch(
            groups=self._groups(crops),
            labels=labels_of(self._layout.shards, as_tensor(digits), names),
            sample_ids=ids_of(names),
            replaced=tuple(made.replaced.values()),
        )

    def _groups(self, outputs: Sequence[Any]) -> tuple[Tensor, ...]:
        if self._stage is None:
            return tuple(crop_view(crops, self._dtype) for crops in outputs)
        pictures, *parameters = outputs
        return self._stage(pictures, parameters)

    def _fingerprint(self) -> dict[str, Any]:
        layout, plan = self._layout, self._layout.plan
        return {
            "world_size": layout.world_size,
            "rank": layout.rank,
            "batch_size": layout.batch_size,
            "seed": layout.seed,
            "shards": layout.shards.fingerprint,
            "crops_by": plan.crops_by,
            "device": plan.device,
            "dali": nvidia.dali.__version__,
            **settings_of(plan.crops, plan.augment, replace(plan.options, precision=plan.precision)),
        }


def open_stage(plan: CropPlan, device: torch.device) -> Callable[[Any, Sequence[Any]], tuple[Tensor, ...]]:
    """What makes the crops behind the graph, on torch's stream."""
    from pipelines.crops.stage.stage import CropStage  # imports Triton, which a machine without a GPU may not have

    return CropStage(plan.crops, normalization(plan.augment), device=device, precision=plan.precision)
