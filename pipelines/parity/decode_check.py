"""Whether the decoder that training uses takes a picture: one at a time, so that the one at fault is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import nvidia.dali
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from pipelines.config import LoaderOptions
from pipelines.graph import decode
from pipelines.reading.kernels_guard import may_decode
from pipelines.streaming.failures import reason_of

NAME = f"DALI {nvidia.dali.__version__}"


class DecodeCheck:
    """DALI's CPU decoder behind the guard of every graph."""

    def __init__(self) -> None:
        """Cheap: pipelines are built for the first picture, and after every failure."""
        self._shape: Pipeline | None = None
        self._decoder: Pipeline | None = None

    def refusal(self, content: bytes) -> str | None:
        """Why a picture would stop a batch, or None when it would not."""
        encoded = np.frombuffer(content, np.uint8)
        try:
            self._shape = self._shape or _pipeline(decoded=False)
            shape = _run(self._shape, encoded)
            if not may_decode(encoded, shape):
                return "a damaged header"
            self._decoder = self._decoder or _pipeline(decoded=True)
            _run(self._decoder, encoded)
        except RuntimeError as error:
            self._shape = self._decoder = None
            return reason_of(error)
        return None


def _run(pipeline: Pipeline, encoded: Any) -> Any:
    pipeline.feed_input("encoded", [encoded])
    return np.array(pipeline.run()[0].at(0))


def _pipeline(*, decoded: bool) -> Pipeline:
    pipeline = Pipeline(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
    with pipeline:
        encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
        shape = fn.peek_image_shape(encoded, adjust_orientation=False)
        pipeline.set_outputs(decode(encoded, "cpu", LoaderOptions(threads=1)) if decoded else shape)
    pipeline.build()
    return pipeline
