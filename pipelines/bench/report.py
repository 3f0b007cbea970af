"""What the bench says: a table, where the time of the whole goes, how many GPUs this host feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from pipelines.bench.lineup import COLOUR, CROPS_ALONE, CUT, DECODE, FULL, PILLOW, READ
from shards.harness import report
from shards.harness.report import Column
from shards.harness.turns import Timing, find, ratio

_SPARE = 1.2  # times the rate needed: cores have other work too
PACKAGES = ("torch", "torchvision", "pillow", "numba", "webdataset")


def table(timings: Sequence[Timing]) -> list[str]:
    """A line per contestant; MB/s are of encoded pictures, the ratio is of images/s at as many threads."""
    columns = (
        Column("threads", 7, lambda timing: f"{timing.contestant.parallel:d}"),
        Column("images/s", 9, lambda timing: f"{timing.rate:.1f}"),
        Column("CPU-ms/image", 13, lambda timing: f"{timing.cpu_ms_per_item:.2f}"),
        Column("MB/s", 7, lambda timing: f"{timing.megabytes_per_second:.1f}"),
        Column("x Pillow", 9, lambda timing: _times(ratio_to_pillow(timing, timings))),
        Column("first batch", 12, lambda timing: f"{timing.contestant.start_seconds:.1f} s"),
    )
    return report.table(timings, columns, name_width=26)


def parts(timings: Sequence[Timing], threads: int) -> str:
    """One line on where the CPU time of the whole goes, by the difference of neighbouring parts, timed on a CPU."""
    found = (find(timings, name, parallel=threads) for name in (READ, DECODE, CUT, COLOUR, FULL["cpu"]))
    costs = [timing.cpu_ms_per_item for timing in found if timing is not None]
    labels = ("read", "decode", "crop + resize", "flip + jitter + gray", "blur")
    shares = [costs[0], *(after - before for before, after in pairwise(costs))]
    listed = ", ".join(f"{label} {cost:.2f}" for label, cost in zip(labels, shares, strict=True))
    return f"CPU-ms per image by part at {threads} thread(s): {listed}; together {costs[-1]:.2f}"


def sentence(timings: Sequence[Timing], *, gpu_rate: float) -> str:
    """How many GPUs of a training speed this host can feed."""
    exact = [timing for timing in timings if timing.contestant.name in (FULL["gpu"], FULL["cpu"])]
    best = max(exact, key=lambda timing: timing.rate)
    threads = best.contestant.parallel
    return (
        f"With {threads} of its {report.num_cores()} cores this host makes {best.rate:.0f} images/s and feeds "
        f"{best.rate / gpu_rate:.2f} GPUs that train {gpu_rate:.0f} images/s each; "
        f"one such GPU needs {gpu_rate * threads / best.rate:.1f} cores like these."
    )


def choice(timings: Sequence[Timing], *, gpu_rate: float) -> str:
    """Which way to make crops beside a training of `gpu_rate` images/s on the GPU timed, and what each takes of it."""
    threads = max(timing.contestant.parallel for timing in timings)
    names = (FULL["gpu"], FULL["cpu"], FULL["dali"], CROPS_ALONE)
    by_gpu, by_cpu, by_dali, alone = (_of(timings, name, threads) for name in names)
    best = "cpu" if by_cpu.rate >= _SPARE * gpu_rate else "gpu"
    gpu, cpu, dali = (timing.cpu_ms_per_item * gpu_rate / 1000 for timing in (by_gpu, by_cpu, by_dali))
    return (
        f"For {gpu_rate:.0f} images/s choose --data.crops-by {best} here: gpu takes {gpu_rate / alone.rate:.1%} of the "
        f"GPU's time and {gpu:.1f} cores; cpu takes none of it and {cpu:.1f} of {report.num_cores()} cores, which make "
        f"{by_cpu.rate:.0f} images/s; dali, whose colours differ, makes {by_dali.rate:.0f} with {dali:.1f} cores."
    )


def _of(timings: Sequence[Timing], name: str, threads: int) -> Timing:
    return next(each for each in timings if (each.contestant.name, each.contestant.parallel) == (name, threads))


def ratio_to_pillow(timing: Timing, timings: Sequence[Timing]) -> float | None:
    """Images per second over those of torchvision on Pillow with as many threads; None where that did not run."""
    peer = find(timings, PILLOW, parallel=timing.contestant.parallel)
    return ratio(timing, peer).median if peer is not None else None


def write_record(path: Path, timings: Sequence[Timing], *, setting: Mapping[str, object]) -> None:
    """Write everything as JSON; see `shards.harness.report.write_record`."""
    results = [
        report.figures(timing)
        | {
            "threads": timing.contestant.parallel,
            "images": [turn.num_items for turn in timing.turns],
            "mb_per_second": timing.megabytes_per_second,
            "ratio_to_pillow": ratio_to_pillow(timing, timings),
            "seconds_to_first_batch": timing.contestant.start_seconds,
        }
        for timing in timings
    ]
    per_image = timings[0].contestant.bytes_per_item
    report.write_record(path, results, setting=setting, packages=PACKAGES, bytes_per_image=per_image)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
