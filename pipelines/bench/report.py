"""The bench's figures for people and for programs: a table, a sentence, a JSON record."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipelines.bench.lineup import CUT, DECODE, EXACT, PILLOW, READ
from pipelines.bench.measure import Timing

_HEAD = f"{'':26} {'threads':>7} {'images/s':>9} {'CPU-ms/image':>13} {'MB/s':>7} {'x Pillow':>9} {'first batch':>12}"


def table(timings: Sequence[Timing], *, bytes_per_image: float) -> list[str]:
    """A line per contestant; MB/s are of encoded pictures, the ratio is of images/s at as many threads."""
    lines = [_HEAD]
    for timing in timings:
        ratio = ratio_to_pillow(timing, timings)
        lines.append(
            f"{timing.name:26} {timing.threads:7d} {timing.images_per_second:9.1f} {timing.cpu_ms_per_image:13.2f} "
            f"{timing.images_per_second * bytes_per_image / 1e6:7.1f} {'' if ratio is None else f'{ratio:.2f}':>9} "
            f"{timing.start_seconds:10.1f} s"
        )
    return lines


def parts(timings: Sequence[Timing], threads: int) -> str:
    """One line on where the CPU time of the whole goes, by the difference of neighbouring parts."""
    names = [READ, DECODE, CUT, "... + flip, jitter, gray", EXACT]
    costs = [_find(timings, name, threads).cpu_ms_per_image for name in names]
    labels = ("read", "decode", "crop + resize", "flip + jitter + gray", "blur")
    shares = [costs[0], *(after - before for before, after in pairwise(costs))]
    listed = ", ".join(f"{label} {cost:.2f}" for label, cost in zip(labels, shares, strict=True))
    return f"CPU-ms per image by part at {threads} thread(s): {listed}; together {costs[-1]:.2f}"


def sentence(timings: Sequence[Timing], *, gpu_rate: float) -> str:
    """How many GPUs of a training speed this host can feed."""
    best = max((timing for timing in timings if timing.name == EXACT), key=lambda timing: timing.images_per_second)
    cores = len(os.sched_getaffinity(0))
    per_thread = best.images_per_second / best.threads
    return (
        f"With {best.threads} of its {cores} cores this host makes {best.images_per_second:.0f} images/s and feeds "
        f"{best.images_per_second / gpu_rate:.2f} GPUs that train {gpu_rate:.0f} images/s each; "
        f"one such GPU needs {gpu_rate / per_thread:.1f} cores like these."
    )


def ratio_to_pillow(timing: Timing, timings: Sequence[Timing]) -> float | None:
    """Images per second over those of torchvision on Pillow with as many threads; None where that did not run."""
    for other in timings:
        if other.name == PILLOW and other.threads == timing.threads:
            return timing.images_per_second / other.images_per_second
    return None


def record(timings: Sequence[Timing], *, bytes_per_image: float, setting: dict[str, Any]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "schema": 1,
        "host": {"cores": len(os.sched_getaffinity(0)), "cpu": _cpu(), "versions": _versions()},
        "setting": setting,
        "bytes_per_image": bytes_per_image,
        "results": [
            {
                "name": timing.name,
                "threads": timing.threads,
                "images_per_second": timing.images_per_second,
                "cpu_ms_per_image": timing.cpu_ms_per_image,
                "mb_per_second": timing.images_per_second * bytes_per_image / 1e6,
                "ratio_to_pillow": ratio_to_pillow(timing, timings),
                "seconds_to_first_batch": timing.start_seconds,
                "images": timing.images,
                "seconds": timing.seconds,
                "cpu_seconds": timing.cpu_seconds,
            }
            for timing in timings
        ],
    }


def _find(timings: Sequence[Timing], name: str, threads: int) -> Timing:
    return next(timing for timing in timings if (timing.name, timing.threads) == (name, threads))


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "torchvision", "pillow", "numba", "webdataset")}
