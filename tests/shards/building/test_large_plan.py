"""ImageNet-21k's 14 million samples, made up, go through the real listing, plan and first task in a few GiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NUM_SAMPLES, NUM_CLASSES = 14_197_122, 21_841
MOST_GIB = 4
PROGRAM = f"""
import json, resource, time
from pathlib import Path

from shards.building.job import BuildOptions, plan_build
from shards.sources.listing import ListingBuilder
from shards.sources.folders import FileReader


class MadeUp:
    kind = "made up"
    is_sequential = False
    description = "{NUM_SAMPLES} names"

    def scan(self):
        builder = ListingBuilder()
        for number in range({NUM_SAMPLES}):
            label = number * {NUM_CLASSES} // {NUM_SAMPLES}
            name = f"n{{label:08d}}/n{{label:08d}}_{{number}}.JPEG"
            builder.add(name, size=100_000 + number % 9973, label=label, stamp=1_700_000_000_000_000_000 + number)
        return builder.finish(tuple(f"n{{label:08d}}" for label in range({NUM_CLASSES}))), []

    def reader(self):
        return FileReader(root=Path("nowhere"))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


before, started = peak(), time.monotonic()
job = plan_build(MadeUp(), BuildOptions())
task = job.task(Path("out"), 0)
seconds = time.monotonic() - started
first = list(task.samples)
plan_bytes = job.plan.order.nbytes + job.plan.bounds.nbytes
started = time.monotonic()
fingerprints = {{job.shard_fingerprint(number) for number in range(job.plan.num_shards)}}
print(json.dumps({{
    "peak_bytes": peak(), "bytes_before": before, "seconds": seconds, "first_task": len(first),
    "listing_bytes": job.listing.num_bytes, "plan_bytes": plan_bytes, "num_shards": job.plan.num_shards,
    "fingerprints": len(fingerprints), "fingerprint_seconds": time.monotonic() - started,
}}))
"""


@pytest.mark.slow
def test_fourteen_million_samples_are_planned_in_less_than_four_gib() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    state = found["listing_bytes"] + found["plan_bytes"]
    print(
        f"peak {found['peak_bytes'] / 2**30:.2f} GiB for {NUM_SAMPLES:,} samples, {state / NUM_SAMPLES:.1f} B each; "
        f"listed, planned and first of {found['num_shards']:,} tasks made in {found['seconds']:.0f} s; "
        f"fingerprints of all shards, as for resuming, {found['fingerprint_seconds']:.0f} s"
    )
    assert found["peak_bytes"] < MOST_GIB * 2**30
    assert found["first_task"] == NUM_SAMPLES // found["num_shards"]
    assert found["fingerprints"] == found["num_shards"]
