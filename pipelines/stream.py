"""A built DALI pipeline that can be stopped, saved and continued: one training or evaluation stream of one rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.errors import SampleError


class Stream:
    """Runs one pipeline; frees its threads and memory on `close`."""

    def __init__(self, pipeline: Pipeline, device: torch.device) -> None:
        """Build the pipeline; takes over its life."""
        self._pipeline: Pipeline | None = pipeline
        self._device = device
        pipeline.build()

    def run(self) -> Sequence[Any]:
        """The next batch's outputs, ordered on torch's current CUDA stream.

        Raises:
            SampleError: a sample cannot be read or decoded.
        """
        assert self._pipeline is not None, "run() after close()"
        stream = torch.cuda.current_stream(self._device) if self._device.type == "cuda" else None
        try:
            outputs: Sequence[Any] = self._pipeline.run() if stream is None else self._pipeline.run(stream)
        except RuntimeError as error:
            raise SampleError(
                "DALI could not make a batch",
                where="data pipeline",
                found=_cause(str(error)),
                fix="python -m shards check DIR finds the sample",
            ) from error
        return outputs

    def checkpoint(self) -> bytes:
        """The state after the last batch that `run` returned, whatever was prepared ahead."""
        assert self._pipeline is not None, "checkpoint() after close()"
        blob: bytes = self._pipeline.checkpoint()
        return blob

    def close(self) -> None:
        """Drop the pipeline; safe to call twice."""
        self._pipeline = None


def _cause(message: str) -> str:
    lines = [line.strip() for line in message.splitlines()]
    useful = [
        line for line in lines if line and not line.startswith(("Error in", "Error when", "Stacktrace", "[frame"))
    ]
    return " ".join(useful[:2]) if useful else message[:200]
