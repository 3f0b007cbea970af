"""The batches of one rank, one after the other, from any saved state on; a damaged batch stops or is mended.

The state after every batch is kept (0.2 ms), because a pipeline that failed has none that could be trusted: with it
the failed batch is read again (pipelines.mending) and made once more with other samples in the bad places. The
streams before and after see the same bits as if the damaged pictures had been those others.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.errors import PipelineError, SampleWarning
from pipelines.graph import CropPlan, training_pipeline
from pipelines.mending import replay, sample_error, substitutes, undecodable
from pipelines.reader import ReadPlan, plan_reading
from pipelines.saved_state import transplant
from pipelines.seeds import stream_seeds
from pipelines.stream import Stream
from shards.shardset import ShardSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one rank reads and makes of it.

    Attributes:
        shards: read by all ranks.
        plan: crops, quality and options.
        batch_size: images per batch of this rank.
        rank, world_size: this rank's part.
        seed: of the run.
        device: where batches are wanted.
        threads: CPU threads of the pipeline.
    """

    shards: ShardSet
    plan: CropPlan
    batch_size: int
    rank: int
    world_size: int
    seed: int
    device: torch.device
    threads: int

    @property
    def device_id(self) -> int | None:
        """DALI's name of the CUDA device; None without one."""
        return self.device.index if self.device.type == "cuda" else None


class TrainingStream:
    """Endless; it stands at `state` of a stream that began with epoch `first_epoch`."""

    def __init__(self, layout: Layout, *, first_epoch: int = 0, state: bytes | None = None) -> None:
        """Cheap: the pipeline is built for the first batch. `state` None is the beginning."""
        self._layout = layout
        self._stream: Stream | None = None
        self.first_epoch, self.state = first_epoch, state

    def next(self) -> tuple[Sequence[Any], tuple[str, ...]]:
        """DALI's outputs of the next batch, and the samples that others stand in for.

        Raises:
            SampleError: a picture cannot be decoded and is not to be skipped.
            PipelineError: anything else that DALI cannot do.
        """
        if self._stream is None:
            self._stream = self._open(self._layout.plan, self.state)
        try:
            outputs = self._stream.run()
        except PipelineError as error:
            self.close()
            return self._mend(error)
        self.state = self._stream.checkpoint()
        return outputs, ()

    def close(self) -> None:
        """Release the pipeline; `next` opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _mend(self, error: PipelineError) -> tuple[Sequence[Any], tuple[str, ...]]:
        layout = self._layout
        try:
            samples = replay(self._reading(), batch_size=layout.batch_size, state=self.state)
        except RuntimeError:
            raise error from error.__cause__  # the reader itself fails, and its error names the place
        options = layout.plan.options
        bad = undecodable(samples, device=layout.plan.device, device_id=layout.device_id, options=options)
        if not bad:
            raise error
        if options.on_error == "stop" or len(bad) == layout.batch_size:
            raise sample_error(samples, bad) from error
        outputs = self._run_with(substitutes(layout.batch_size, bad))
        names = tuple(f"{samples[place]} ({reason})" for place, reason in bad.items())
        for name in names:
            warnings.warn(
                f"rank {layout.rank}: {name} cannot be decoded, another picture took its place",
                SampleWarning,
                stacklevel=2,
            )
        return outputs, names

    def _run_with(self, slots: tuple[int, ...]) -> Sequence[Any]:
        """Make the batch after `state` once more with samples exchanged, and step over it."""
        plan = replace(self._layout.plan, options=replace(self._layout.plan.options, prefetch=1))
        state = self.state if self.state is None else transplant(self.state, self._fresh(plan, slots))
        stream = self._open(plan, state, slots)
        outputs = stream.run()
        self.state = transplant(stream.checkpoint(), self._fresh(plan, None))
        stream.close()
        return outputs

    def _fresh(self, plan: CropPlan, slots: tuple[int, ...] | None) -> bytes:
        stream = self._open(plan, None, slots)
        state = stream.checkpoint()
        stream.close()
        return state

    def _open(self, plan: CropPlan, state: bytes | None, slots: tuple[int, ...] | None = None) -> Stream:
        return Stream(self._pipeline(plan, state, slots), self._layout.device)

    def _pipeline(self, plan: CropPlan, state: bytes | None, slots: tuple[int, ...] | None) -> Pipeline:
        layout = self._layout
        seeds = stream_seeds(layout.seed, epoch=self.first_epoch, rank=layout.rank)
        return training_pipeline(
            self._reading(),
            plan,
            batch_size=layout.batch_size,
            seed=seeds.crops,
            threads=layout.threads,
            device_id=layout.device_id,
            checkpoint=state,
            slots=slots,
        )

    def _reading(self) -> ReadPlan:
        layout = self._layout
        seeds = stream_seeds(layout.seed, epoch=self.first_epoch, rank=layout.rank)
        return plan_reading(
            layout.shards,
            rank=layout.rank,
            world_size=layout.world_size,
            seed=seeds.pool,
            shuffle_seed=seeds.tars,
            options=layout.plan.options,
        )
