"""What to do about a batch that DALI could not make: find the samples at fault, then stop or put others in their place.

DALI fails a whole batch without naming the sample. The reader has a seed of its own, so a pipeline that only reads,
started from the state before the batch, yields the very same encoded samples; decoding them one by one finds the
culprits. Costs seconds, mostly to fill the shuffle pool again, and happens once per damaged batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from pipelines.config import LoaderOptions
from pipelines.errors import PipelineError, SampleError
from pipelines.graph import DaliDevice, decode, device_id
from pipelines.reading.reader import ReadPlan, members, parse_source
from pipelines.streaming.failures import reason_of
from pipelines.streaming.saved_state import transplant
from shards.tars.sample_name import parse_sample_name

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSample:
    """One sample as it lies in its tar.

    Attributes:
        tar, offset, member: where; the offset in bytes.
        content: uint8 (bytes,).
    """

    tar: str
    offset: int
    member: str
    content: Bytes

    def __str__(self) -> str:
        """Tar, member and offset, as error messages name a sample."""
        return f"{self.tar}: {self.member} at byte {self.offset}"


def replay(plan: ReadPlan, *, batch_size: int, state: bytes | None) -> list[EncodedSample]:
    """The encoded samples of the batch that follows a saved state.

    Args:
        plan: of the stream that failed.
        batch_size: its own.
        state: saved after the last good batch; None is the beginning of the stream.
    """
    if state is not None:
        state = transplant(state, _reading(plan, batch_size, None).checkpoint())
    return [_sample(encoded) for encoded in _reading(plan, batch_size, state).run()[0]]


def undecodable(
    samples: Sequence[EncodedSample],
    device: torch.device,
    decoder_device: DaliDevice,
    options: LoaderOptions,
    *,
    most_stretched: float | None = None,
) -> dict[int, str]:
    """Places in the batch of the samples that the graph does not take, each with DALI's reason or ours.

    Args:
        samples: of the batch.
        device: of the batch.
        decoder_device: where pictures are decoded.
        options: how.
        most_stretched: the longer side over the shorter that the graph takes; None takes any.
    """
    found: dict[int, str] = {}
    decoder: Pipeline | None = None
    for place, sample in enumerate(samples):
        decoder = decoder or _decoder(device, decoder_device, options)
        try:
            decoder.feed_input("encoded", [sample.content])
            height, width = np.array(decoder.run()[0].at(0))[:2].tolist()
        except RuntimeError as error:
            found[place], decoder = reason_of(error), None
            continue
        if most_stretched is not None and max(height, width) > most_stretched * min(height, width):
            found[place] = f"{width} x {height} pixels: one side is more than {most_stretched:.0f} times the other"
    return found


def is_out_of_memory(error: PipelineError) -> bool:
    """Whether a batch failed for want of memory, of the machine or of the device."""
    return any(said in str(error) for said in ("bad_alloc", "out of memory", "Can't allocate", "cudaErrorMemory"))


def memory_error(samples: Sequence[EncodedSample]) -> SampleError:
    """The error that names the largest picture of a batch for which there was too little memory."""
    pixels = [_num_pixels(sample) for sample in samples]
    largest, total = samples[int(np.argmax(pixels))], 3e-9 * sum(pixels)
    return SampleError(
        "too little memory for a batch, in which this is the largest picture",
        where=largest,
        found=f"{max(pixels) / 1e6:,.1f} million pixels, {total:,.2f} GB for all pictures of the batch",
        fix="use a smaller batch, or build the shards with --max-pixels or --short-side",
    )


def _num_pixels(sample: EncodedSample) -> int:
    pipeline = Pipeline(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
    with pipeline:
        encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
        pipeline.set_outputs(fn.peek_image_shape(encoded, adjust_orientation=False))
    pipeline.build()
    pipeline.feed_input("encoded", [sample.content])
    height, width = np.array(pipeline.run()[0].at(0))[:2].tolist()
    return int(height * width)


def sample_error(samples: Sequence[EncodedSample], bad: Mapping[int, str]) -> SampleError:
    """The error that names the first of the bad samples and counts the others."""
    place, reason = next(iter(bad.items()))
    others = f", and {len(bad) - 1} more in this batch" if len(bad) > 1 else ""
    return SampleError(
        f"cannot be decoded{others}",
        where=samples[place],
        found=reason,
        fix="build the shards again without it, or train with --data.on-error skip",
    )


def substitutes(batch_size: int, bad: Mapping[int, str]) -> tuple[int, ...]:
    """For every place of a batch the place to take the sample from: the next good one stands in for a bad one."""
    good = [place for place in range(batch_size) if place not in bad]
    assert good, "a batch without a good sample cannot be mended"
    return tuple(next((other for other in good if other >= place), good[0]) for place in range(batch_size))


def _sample(encoded: Any) -> EncodedSample:
    tar, offset, member = parse_source(encoded.source_info().encode())
    named = parse_sample_name(member)
    return EncodedSample(tar=tar, offset=offset, member=named.name if named else member, content=np.array(encoded))


def _reading(plan: ReadPlan, batch_size: int, state: bytes | None) -> Pipeline:
    pipeline = Pipeline(
        batch_size=batch_size,
        num_threads=1,
        device_id=None,
        prefetch_queue_depth=1,
        enable_checkpointing=True,
        checkpoint=state,
    )
    with pipeline:
        pipeline.set_outputs(*members(plan))
    pipeline.build()
    return pipeline


def _decoder(device: torch.device, decoder_device: DaliDevice, options: LoaderOptions) -> Pipeline:
    pipeline = Pipeline(batch_size=1, num_threads=1, device_id=device_id(device), prefetch_queue_depth=1)
    with pipeline:
        encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
        shape = fn.peek_image_shape(encoded, adjust_orientation=False)
        pipeline.set_outputs(shape, decode(encoded, decoder_device, options))
    pipeline.build()
    return pipeline
