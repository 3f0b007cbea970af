"""Pictures that would take all memory are named: stretched ones before they are resized, large ones when it fails."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tars import write_tar

from pipelines.config import LoaderOptions
from pipelines.errors import SampleError, SampleWarning
from pipelines.images import ImagePlan, open_images
from shards.tars.index import IndexMember, format_index
from shards.tars.manifest import Manifest, ShardEntry, sha256_of
from shards.tars.shardset import ShardSet, load_shard_set

PLAN = ImagePlan(resize=256, size=224, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def encoded(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), size[0] % 200, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def one_tar(root: Path, sizes: list[tuple[int, int]]) -> ShardSet:
    """A set of one tar as an earlier version built it, whatever the pictures."""
    root.mkdir()
    pictures = [encoded(size) for size in sizes]
    write_tar(root / "x.tar", [(f"{number:09d}.jpg", content) for number, content in enumerate(pictures)])
    whole, samples, start = (root / "x.tar").read_bytes(), [], 0
    for number, content in enumerate(pictures):
        start = whole.index(content, start)
        samples.append([IndexMember("jpg", start, len(content), f"{number:09d}.jpg")])
        start += len(content)
    index = format_index(samples)
    (root / "x.idx").write_bytes(index)
    sums = {"tar_sha256": sha256_of(whole), "idx_sha256": sha256_of(index)}
    entry = ShardEntry(tar="x.tar", idx="x.idx", num_samples=len(sizes), tar_bytes=len(whole), **sums)
    manifest = Manifest(name="x", seed=0, classes=(), shards=(entry,), build={})
    (root / "manifest.json").write_bytes(manifest.to_bytes())
    return load_shard_set(root)


def images(shards: ShardSet, **options: Any) -> list[list[int]]:
    place = {"rank": 0, "world_size": 1, "device": torch.device("cpu")}
    loader = open_images(shards, PLAN, batch_size=4, options=LoaderOptions(threads=1, **options), **place)
    return [batch.sample_ids.tolist() for batch in loader]


def test_a_line_of_pixels_is_named_before_it_takes_gigabytes(tmp_path: Path) -> None:
    """65,000 x 1 would be resized to 16.6 million x 256, 13 GB."""
    shards = one_tar(tmp_path / "set", [(60, 40), (65000, 1), (40, 60), (1, 400)])
    with pytest.raises(SampleError, match=r"000000001\.jpg at byte \d+: .*65000 x 1 pixels: one side is more than 500"):
        images(shards)
    with pytest.warns(SampleWarning, match="000000001.jpg"):
        assert images(shards, on_error="skip") == [[0, 2, 3]]


SCRIPT = """
import resource, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from pipelines.errors import SampleError
import test_extreme
shards = test_extreme.one_tar(Path({out!r}), [(60, 40), (5000, 5000), (4000, 4000), (4000, 4000)])
test_extreme.images(test_extreme.one_tar(Path({out!r} + "-small"), [(60, 40)] * 4))
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20),) * 2)
try:
    test_extreme.images(shards)
except SampleError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_batch_without_memory_names_its_largest_picture(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    script = SCRIPT.format(root=str(root), tests=str(Path(__file__).parent), out=str(tmp_path / "set"))
    path = f"{root / 'tests' / 'tools'}"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r}); " + f"exec({script!r})"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert "000000001.jpg at byte" in done.stdout, done.stderr[-2000:]
    assert "too little memory for a batch, in which this is the largest picture" in done.stdout
    assert "found 25.0 million pixels, 0.17 GB for all" in done.stdout
    assert "--max-pixels or --short-side" in done.stdout
