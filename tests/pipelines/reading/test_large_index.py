"""The index of an ImageNet-sized set, made up, is opened in seconds and in memory that eight ranks have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shards.tars.index import IndexMember, format_index
from shards.tars.manifest import Manifest, ShardEntry, sha256_of

ROOT = Path(__file__).parents[3]
NUM_TARS, PER_TAR, STEP = 1300, 985, 110_592 + 1024

OPEN = """
import resource, sys, time
from pathlib import Path
import torch
from nvidia.dali.pipeline import Pipeline
from pipelines.config import LoaderOptions
from pipelines.reading.reader import plan_reading, read
from shards.tars.shardset import load_shard_set

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

seconds, mib = used()
shards = load_shard_set(Path(sys.argv[1]))
plan = plan_reading(shards, rank=0, world_size=8, seed=1, shuffle_seed=2, options=LoaderOptions())
pipeline = Pipeline(batch_size=64, num_threads=1, device_id=None)
with pipeline:
    pipeline.set_outputs(*read(plan))
pipeline.build()
assert pipeline.reader_meta("reader")["epoch_size"] == shards.num_samples
after, peak = used()
print(shards.num_samples, after - seconds, peak - mib)
"""


def write_set(root: Path) -> None:
    """Manifest and indices of pictures of 110 kB with a label each, over tars that are holes."""
    entries = []
    for number in range(NUM_TARS):
        first = number * PER_TAR
        samples = [
            [
                IndexMember("jpg", 512 + at * STEP, 110_000, f"{first + at:09d}.jpg"),
                IndexMember("cls", 512 + at * STEP + 111_104, 3, f"{first + at:09d}.cls"),
            ]
            for at in range(PER_TAR)
        ]
        index, size = format_index(samples), PER_TAR * STEP + 1024
        tar, idx = root / f"shard-{number:06d}.tar", root / f"shard-{number:06d}.idx"
        idx.write_bytes(index)
        with tar.open("wb") as file:
            file.truncate(size)
        entries.append(
            ShardEntry(
                tar=tar.name,
                idx=idx.name,
                num_samples=PER_TAR,
                tar_bytes=size,
                tar_sha256="0" * 64,
                idx_sha256=sha256_of(index),
            )
        )
    manifest = Manifest(name="shard", seed=0, classes=("only",), shards=tuple(entries), build={})
    (root / "manifest.json").write_bytes(manifest.to_bytes())


@pytest.mark.slow
def test_a_million_samples_open_in_five_seconds_and_700_mib(tmp_path: Path) -> None:
    """CPU seconds, so that a busy machine does not decide; opening waits for nothing else."""
    write_set(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=500, check=True
    )
    samples, seconds, mib = (float(word) for word in done.stdout.split())
    assert samples == NUM_TARS * PER_TAR > 1_280_000
    assert seconds < 5, f"{seconds:.1f} s"
    assert mib < 700, f"{mib:.0f} MiB"
    print(f"{seconds:.2f} CPU-s, {mib:.0f} MiB")
