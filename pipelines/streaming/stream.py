"""A built DALI pipeline with its errors in our words: one training or evaluation stream of one rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.streaming.failures import explain


class Stream:
    """Runs one pipeline; frees its threads and memory on `close`."""

    def __init__(self, pipeline: Pipeline, device: torch.device) -> None:
        """Build the pipeline and take over its life; raises PipelineError naming the file that cannot be read."""
        self._pipeline: Pipeline | None = pipeline
        self.device = device
        try:
            pipeline.build()
        except RuntimeError as error:
            raise explain(error, "the data pipeline cannot be opened") from error

    def run(self) -> Sequence[Any]:
        """The next batch's outputs, ordered on torch's current CUDA stream.

        Raises:
            PipelineError: a sample cannot be read or decoded; DALI does not say which.
        """
        assert self._pipeline is not None, "run() after close()"
        stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
        try:
            outputs: Sequence[Any] = self._pipeline.run() if stream is None else self._pipeline.run(stream)
        except RuntimeError as error:
            raise explain(error, "a batch cannot be made") from error
        return outputs

    def checkpoint(self) -> bytes:
        """The state after the last batch that `run` returned, whatever was prepared ahead."""
        assert self._pipeline is not None, "checkpoint() after close()"
        blob: bytes = self._pipeline.checkpoint()
        return blob

    def close(self) -> None:
        """Drop the pipeline; safe to call twice."""
        self._pipeline = None
