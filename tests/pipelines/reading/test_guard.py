"""Damaged headers: they raise, they do not crash the process, and nothing that can be decoded is refused.

Without the guard the first test's process dies of a segmentation fault within the first few dozen pictures.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline
from PIL import Image

from pipelines.reading.guard import guarded

BATCH = 64
"""At a handful of pictures DALI's decoder works on one thread and does not crash."""
FORMATS = ({"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "PNG"}, {"format": "WEBP"})


def picture(seed: int, **how: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 60, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **how)
    return buffer.getvalue()


def fuzzed(seed: int) -> bytes:
    """One of the formats with bytes changed anywhere or in the header, cut off, taken out, or zeroed."""
    random = np.random.default_rng(seed)
    content = bytearray(picture(seed % 16, **FORMATS[seed % len(FORMATS)]))
    start, length = int(random.integers(0, len(content))), int(random.integers(1, 300))
    match seed // len(FORMATS) % 5:
        case 0:
            content[start] = int(random.integers(0, 256))
        case 1:
            for at in random.integers(0, 60 if seed % len(FORMATS) > 1 else 700, 3):
                content[at] = int(random.integers(0, 256))
        case 2:
            del content[start:]
        case 3:
            del content[start : start + length]
        case _:
            content[start : start + length] = bytes(len(content[start : start + length]))
    return bytes(content) or b"\0"


def decoder(batch_size: int, *, with_guard: bool = True) -> Pipeline:
    pipeline = Pipeline(batch_size=batch_size, num_threads=2, device_id=None, prefetch_queue_depth=1)
    with pipeline:
        encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
        if with_guard:
            encoded, _ = guarded(encoded)
        pipeline.set_outputs(fn.decoders.image(encoded, device="cpu", output_type=types.RGB))
    pipeline.build()
    return pipeline


def decodes(pipeline: Pipeline, contents: list[bytes]) -> bool:
    pipeline.feed_input("encoded", [np.frombuffer(content, np.uint8) for content in contents])
    try:
        pipeline.run()
    except RuntimeError:
        return False
    return True


def try_among_good_ones(first: int, end: int) -> None:
    """Decode fuzzed pictures, each in a batch of good ones; runs in a process of its own, which may crash."""
    good, pipeline, refused = [picture(seed, format="JPEG") for seed in range(BATCH)], decoder(BATCH), 0
    for seed in range(first, end):
        if not decodes(pipeline, [*good[:5], fuzzed(seed), *good[6:]]):
            refused += 1
            pipeline = decoder(BATCH)
    assert decodes(pipeline, good)
    print(refused)


@pytest.mark.parametrize("count", [300, pytest.param(4000, marks=pytest.mark.slow)])
def test_no_damaged_header_crashes_the_process(count: int) -> None:
    line = f"import test_guard; test_guard.try_among_good_ones(0, {count})"
    done = subprocess.run(
        [sys.executable, "-c", line],
        capture_output=True,
        timeout=300,
        check=False,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[3]}", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert count / 4 < int(done.stdout) < count


def test_the_guard_refuses_nothing_that_can_be_decoded() -> None:
    """Alone in its batch even a damaged picture is decoded or refused without harm."""
    bare, guarding = decoder(1, with_guard=False), decoder(1)
    for seed in range(400):
        content = [fuzzed(seed)]
        can, may = decodes(bare, content), decodes(guarding, content)
        assert can == may, seed
        if not can:
            bare, guarding = decoder(1, with_guard=False), decoder(1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM"])
def test_every_healthy_format_passes_unchanged(kind: str, mode: str) -> None:
    buffer = io.BytesIO()
    try:
        Image.open(io.BytesIO(picture(1, format="PNG"))).convert(mode).save(buffer, kind)
    except (OSError, ValueError, KeyError):
        pytest.skip(f"Pillow writes no {kind} of mode {mode}")
    content = [buffer.getvalue()]
    assert decodes(decoder(1), content) == decodes(decoder(1, with_guard=False), content)
