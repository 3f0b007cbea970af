"""A stream of batches that survives what it is told to survive: a damaged batch stops it, or is mended and said.

The state after every batch is kept (0.2 ms), because a pipeline that failed has none that could be trusted: with it
the failed batch is read again (pipelines.streaming.mending) and made once more with other samples in the bad places.
What comes after sees the same bits as if the damaged pictures had been those others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.config import LoaderOptions
from pipelines.errors import PipelineError, SampleWarning
from pipelines.graph import DaliDevice
from pipelines.reading.reader import ReadPlan
from pipelines.streaming.mending import is_out_of_memory, memory_error, replay, sample_error, substitutes, undecodable
from pipelines.streaming.saved_state import transplant
from pipelines.streaming.stream import Stream

Slots = tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """How to make one stream, as often as needed.

    Attributes:
        reading: what it reads.
        build: an unbuilt pipeline with checkpoints from a saved state, None being the beginning, and for every
            place of a batch the place to take the sample from (reader.exchange); None leaves them.
        batch_size: images per batch.
        device: where batches are wanted.
        decoder: where its pictures are decoded to.
        options: how to decode, and what to do on an error.
        most_stretched: the longer side over the shorter that the graph takes; None takes any.
    """

    reading: ReadPlan
    build: Callable[[bytes | None, Slots], Pipeline]
    batch_size: int
    device: torch.device
    decoder: DaliDevice
    options: LoaderOptions
    most_stretched: float | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One batch: DALI's outputs, and the places where others stand in, each with the name of the missing sample."""

    outputs: Sequence[Any]
    replaced: dict[int, str]


class ResilientStream:
    """Endless; `state` is that after the last batch of `next`, None at the beginning."""

    def __init__(self, plan: StreamPlan, state: bytes | None = None) -> None:
        """Cheap: the pipeline is built for the first batch."""
        self._plan, self.state = plan, state
        self._stream: Stream | None = None

    def next(self) -> Made:
        """The next batch.

        Raises:
            SampleError: a picture cannot be decoded and is not to be skipped.
            PipelineError: anything else that DALI cannot do.
        """
        if self._stream is None:
            self._stream = self._open(self.state)
        try:
            outputs = self._stream.run()
        except PipelineError as error:
            self.close()
            return self._mend(error)
        self.state = self._stream.checkpoint()
        return Made(outputs, {})

    def close(self) -> None:
        """Release the pipeline; `next` opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _mend(self, error: PipelineError) -> Made:
        plan = self._plan
        try:
            samples = replay(plan.reading, batch_size=plan.batch_size, state=self.state)
        except RuntimeError:
            raise error from error.__cause__  # the reader itself fails, and its error names the place
        if is_out_of_memory(error):
            raise memory_error(samples) from error
        bad = undecodable(samples, plan.device, plan.decoder, plan.options, most_stretched=plan.most_stretched)
        if not bad:
            raise error
        if plan.options.on_error == "stop" or len(bad) == plan.batch_size:
            raise sample_error(samples, bad) from error
        outputs = self._run_with(substitutes(plan.batch_size, bad))
        names = {place: f"{samples[place]} ({reason})" for place, reason in bad.items()}
        for name in names.values():
            said = f"rank {plan.reading.rank}: {name} cannot be decoded, another picture takes its place"
            warnings.warn(said, SampleWarning, stacklevel=2)
        return Made(outputs, names)

    def _run_with(self, slots: Slots) -> Sequence[Any]:
        """Make the batch after `state` once more with samples exchanged, and step over it."""
        stream = self._open(None if self.state is None else transplant(self.state, self._fresh(slots)), slots)
        outputs = stream.run()
        self.state = transplant(stream.checkpoint(), self._fresh(None))
        stream.close()
        return outputs

    def _fresh(self, slots: Slots) -> bytes:
        stream = self._open(None, slots)
        state = stream.checkpoint()
        stream.close()
        return state

    def _open(self, state: bytes | None, slots: Slots = None) -> Stream:
        return Stream(self._plan.build(state, slots), self._plan.device)
