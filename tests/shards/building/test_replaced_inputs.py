"""Resuming after inputs changed: only the shards of changed samples are written, and the bytes are a clean build's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from shards.building.job import BuildOptions, plan_build
from shards.building.plan import Cut, plan_shards, shard_fingerprint
from shards.sources.base import Source
from shards.sources.folders import ClassFolders
from shards.sources.listing import Listing, ListingBuilder
from shards.sources.recognise import recognise
from shards.sources.remote_folder import RemotePictures
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]
Files = Callable[[Path], dict[str, bytes]]
LATER_NS = 1_000


@pytest.fixture
def bitmaps(tmp_path: Path, make_picture: Callable[..., bytes]) -> Path:
    """Two classes of PNGs without compression: pictures of one size, so that any may replace any other."""
    for number in range(40):
        folder = tmp_path / "tree" / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(make_picture(number, kind="PNG", compress_level=0))
    assert len({path.stat().st_size for path in (tmp_path / "tree").rglob("*.png")}) == 1
    return tmp_path / "tree"


def replace(file: Path, content: bytes) -> None:
    """Write other bytes of the same size and let the file's time go on by as little as a clock can tell."""
    before = file.stat()
    assert len(content) == before.st_size
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + LATER_NS))


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """What tells whether a tar was written again: its inode and time."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("*.tar")}


def public(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the records, which hold the times of the inputs."""
    return {name: content for name, content in files.items() if not name.startswith(".build")}


def shards_of(source: Source, names: set[str], *, shard_mib: float) -> set[str]:
    job = plan_build(source, BuildOptions(cut=Cut(shard_mib=shard_mib)))
    numbers = (n for n in range(job.plan.num_shards) if names & {s.name for s in job.listing.take(job.plan.rows(n))})
    return {f"{job.stems[number]}.tar" for number in numbers}


@pytest.mark.parametrize("is_finished", [True, False])
def test_only_shards_with_a_replaced_picture_are_written_again(
    tmp_path: Path,
    bitmaps: Path,
    make_picture: Callable[..., bytes],
    run_build: Run,
    files_of: Files,
    is_finished: bool,
) -> None:
    out, source = tmp_path / "out", ClassFolders(root=bitmaps)
    run_build(source, out, shard_mib=0.005)
    before = stamps(out)
    if not is_finished:
        (out / "manifest.json").unlink()
    replace(bitmaps / "cat" / "7.png", make_picture(700, kind="PNG", compress_level=0))
    replace(bitmaps / "dog" / "8.png", make_picture(800, kind="PNG", compress_level=0))
    _, was_written = run_build(source, out, shard_mib=0.005)
    assert was_written
    after = stamps(out)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == shards_of(source, {"cat/7.png", "dog/8.png"}, shard_mib=0.005)
    assert len(before) > 6
    run_build(source, tmp_path / "clean", shard_mib=0.005)
    assert files_of(out) == files_of(tmp_path / "clean")
    assert run_build(source, out, shard_mib=0.005)[1] is False


def test_a_touched_file_costs_its_shard_and_changes_no_byte(
    tmp_path: Path, bitmaps: Path, run_build: Run, files_of: Files
) -> None:
    out, source = tmp_path / "out", ClassFolders(root=bitmaps)
    run_build(source, out, shard_mib=0.005)
    before, contents = stamps(out), public(files_of(out))
    file = bitmaps / "cat" / "7.png"
    replace(file, file.read_bytes())
    run_build(source, out, shard_mib=0.005)
    assert public(files_of(out)) == contents
    assert sum(before[name] != stamp for name, stamp in stamps(out).items()) == 1


def test_times_of_the_input_are_in_no_file_that_is_handed_on(
    tmp_path: Path, bitmaps: Path, run_build: Run, files_of: Files
) -> None:
    run_build(ClassFolders(root=bitmaps), tmp_path / "a", shard_mib=0.005)
    for number, file in enumerate(sorted(bitmaps.rglob("*.png"))):
        os.utime(file, ns=(0, 1_500_000_000_000_000_000 + number))
    run_build(ClassFolders(root=bitmaps), tmp_path / "b", shard_mib=0.005)
    assert public(files_of(tmp_path / "a")) == public(files_of(tmp_path / "b"))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_replaced_container_is_noticed(tmp_path: Path, tree: Path, run_build: Run, kind: str) -> None:
    if kind == "tar":
        run_build(ClassFolders(root=tree), tmp_path / "in", shard_mib=0.01)
        (tmp_path / "in" / "manifest.json").unlink()
        containers = sorted((tmp_path / "in").glob("*.tar"))
    else:
        containers = [write_parquet(tmp_path / "in.parquet", tree)]
    source = recognise(tmp_path / ("in" if kind == "tar" else "in.parquet"))[""]
    run_build(source, tmp_path / "out")
    assert run_build(source, tmp_path / "out")[1] is False
    replace(containers[-1], containers[-1].read_bytes())
    assert run_build(source, tmp_path / "out")[1] is True


def write_parquet(path: Path, tree: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in sorted(tree.rglob("*.JPEG"))]
    pq.write_table(pa.table({"image": rows}), path)
    return path


def test_an_object_replaced_at_a_url_is_noticed(tmp_path: Path, make_picture: Callable[..., bytes]) -> None:
    store = fsspec.filesystem("memory")
    for number in range(3):
        store.pipe_file(f"/replaced/cat/{number}.jpg", make_picture(number))
    source = RemotePictures(url="memory://replaced")
    first, again = source.scan()[0].stamps, source.scan()[0].stamps
    store.pipe_file("/replaced/cat/1.jpg", make_picture(1))
    assert first.tolist() == again.tolist()
    assert (source.scan()[0].stamps != first).tolist() == [False, True, False]


def listing(num_samples: int, *, changed: int | None = None, **change: int) -> Listing:
    builder = ListingBuilder()
    for number in range(num_samples):
        fields = {"size": 1000, "label": number % 3, "stamp": number} | (change if number == changed else {})
        builder.add(f"c/{number}.jpg", **fields)
    return builder.finish(("a", "b", "c"))


@pytest.mark.parametrize("change", [{"stamp": -1}, {"label": 1}, {"size": 999}])
def test_a_shards_fingerprint_is_of_its_own_samples(change: dict[str, int]) -> None:
    before, after = listing(60), listing(60, changed=33, **change)
    plan = plan_shards(before, seed=1, cut=Cut(shard_mib=0.01))
    differs = [
        shard_fingerprint(before, plan, shard, "x") != shard_fingerprint(after, plan, shard, "x")
        for shard in range(plan.num_shards)
    ]
    assert differs == [33 in plan.rows(shard) for shard in range(plan.num_shards)]
    assert shard_fingerprint(before, plan, 0, "x") != shard_fingerprint(before, plan, 0, "y")


@pytest.mark.parametrize("num_rows", [0, 1, 7, 1000])
def test_names_are_taken_in_the_order_asked_for(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    monkeypatch.setattr("shards.sources.listing.NAMES_AT_A_TIME", 7)
    words = [f"{'é' * (number % 5)}{number}" for number in range(300)] + [""]
    builder = ListingBuilder()
    for word in words:
        builder.add(word, size=1)
    rows = np.random.default_rng(0).integers(0, len(words), size=num_rows)
    taken = builder.finish().take(rows)
    assert [sample.name for sample in taken] == [words[row] for row in rows]
