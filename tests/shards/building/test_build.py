"""Whole builds of small trees: content, order, equal bytes, resume, refusals. tarfile and webdataset read back."""

from __future__ import annotations

import gc
import json
import os
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import webdataset

from shards.building.build import build
from shards.building.crew import local_crew
from shards.building.job import BuildOptions, plan_build
from shards.building.plan import Cut
from shards.errors import ShardError
from shards.host.lock import hold_lock
from shards.remote.store import store_at
from shards.sources.folders import ClassFolders, FlatFolder
from shards.tars.index import parse_index
from shards.tars.manifest import Manifest
from shards.tars.shardset import load_shard_set

Run = Callable[..., tuple[Manifest, bool]]
Files = Callable[[Path], dict[str, bytes]]


def read_tars(out: Path) -> dict[str, bytes]:
    members = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                members[member.name] = file.read()
    return members


def test_every_picture_arrives_untouched_with_its_label_and_name(tmp_path: Path, tree: Path, run_build: Run) -> None:
    run_build(ClassFolders(root=tree), tmp_path / "out", seed=5)
    members = read_tars(tmp_path / "out")
    keys = sorted({name.split(".")[0] for name in members})
    assert keys == [f"{number:09d}" for number in range(21)]
    seen = set()
    for key in keys:
        name = json.loads(members[f"{key}.json"])["name"]
        seen.add(name)
        assert members[f"{key}.jpg"] == (tree / name).read_bytes()
        assert ["ant", "bee", "cat"][int(members[f"{key}.cls"])] == name.split("/")[0]
    assert seen == {str(path.relative_to(tree)) for path in tree.rglob("*.JPEG")}


def test_webdataset_reads_the_samples(tmp_path: Path, tree: Path, run_build: Run) -> None:
    manifest, _ = run_build(ClassFolders(root=tree), tmp_path / "out", shard_mib=0.01)
    urls = [str(tmp_path / "out" / shard.tar) for shard in manifest.shards]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves the tars open
        dataset = (
            webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("__key__", "jpg", "cls", "json")
        )
        samples = list(dataset)
        gc.collect()
    assert [sample[0] for sample in samples] == [f"{number:09d}" for number in range(21)]
    assert all(image.size == (24, 16) and isinstance(label, int) for _, image, label, _ in samples)


def test_index_points_at_picture_and_label(tmp_path: Path, tree: Path, run_build: Run) -> None:
    manifest, _ = run_build(ClassFolders(root=tree), tmp_path / "out")
    shard = manifest.shards[0]
    content, members = (tmp_path / "out" / shard.tar).read_bytes(), read_tars(tmp_path / "out")
    for sample in parse_index((tmp_path / "out" / shard.idx).read_bytes(), where="idx"):
        assert [member.suffix for member in sample] == ["jpg", "cls"]
        for member in sample:
            assert content[member.offset : member.offset + member.size] == members[member.name]


def test_flat_folder_has_no_labels(tmp_path: Path, tree: Path, run_build: Run) -> None:
    run_build(FlatFolder(root=tree / "cat"), tmp_path / "out")
    assert {name.split(".")[1] for name in read_tars(tmp_path / "out")} == {"jpg", "json"}
    assert not load_shard_set(tmp_path / "out").is_labelled


def test_same_seed_gives_the_same_files_and_another_seed_does_not(
    tmp_path: Path, tree: Path, run_build: Run, files_of: Files
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_build(ClassFolders(root=tree), tmp_path / name, seed=seed, shard_mib=0.01)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert files_of(tmp_path / "a") != files_of(tmp_path / "c")


def test_worker_processes_write_the_same_bytes_as_this_process(
    tmp_path: Path, tree: Path, run_build: Run, files_of: Files
) -> None:
    run_build(ClassFolders(root=tree), tmp_path / "inline", shard_mib=0.01)
    job = plan_build(ClassFolders(root=tree), BuildOptions(cut=Cut(shard_mib=0.01)))
    with local_crew(2) as crew:
        build(job, store_at(tmp_path / "pool"), crew)
    assert files_of(tmp_path / "inline") == files_of(tmp_path / "pool")


def test_second_run_writes_nothing(tmp_path: Path, tree: Path, run_build: Run) -> None:
    first, was_written = run_build(ClassFolders(root=tree), tmp_path / "out")
    assert was_written
    stamp = (tmp_path / "out" / "shard-000000.tar").stat().st_mtime_ns
    assert run_build(ClassFolders(root=tree), tmp_path / "out") == (first, False)
    assert (tmp_path / "out" / "shard-000000.tar").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("lost", ["shard-000001.tar", "shard-000001.idx", ".build/shard-000001.json", "manifest.json"])
def test_a_lost_file_is_made_again_and_only_its_shard_is_written(
    tmp_path: Path, tree: Path, run_build: Run, files_of: Files, lost: str
) -> None:
    out = tmp_path / "out"
    run_build(ClassFolders(root=tree), out, shard_mib=0.01)
    before, stamp = files_of(out), (out / "shard-000000.tar").stat().st_mtime_ns
    (out / lost).unlink()
    run_build(ClassFolders(root=tree), out, shard_mib=0.01)
    assert files_of(out) == before
    assert (out / "shard-000000.tar").stat().st_mtime_ns == stamp


def test_another_set_is_replaced_only_when_asked_and_leaves_nothing(tmp_path: Path, tree: Path, run_build: Run) -> None:
    out = tmp_path / "out"
    run_build(ClassFolders(root=tree), out, shard_mib=0.01)
    with pytest.raises(ShardError, match=r"out: made from another source or with other options.*--overwrite"):
        run_build(ClassFolders(root=tree), out, shard_mib=1)
    run_build(ClassFolders(root=tree), out, shard_mib=1, overwrite=True)
    assert sorted(path.name for path in out.glob("*.*")) == [
        ".build",
        "manifest.json",
        "shard-000000.idx",
        "shard-000000.tar",
    ]
    assert load_shard_set(out).num_samples == 21


@pytest.mark.parametrize("name", [".build/shard-000000.tar", "manifest.json", "errors.jsonl"])
def test_temporaries_of_a_killed_writer_are_removed(tmp_path: Path, tree: Path, run_build: Run, name: str) -> None:
    leftover = tmp_path / "out" / f"{name}.tmp-host-1"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    run_build(ClassFolders(root=tree), tmp_path / "out")
    assert not leftover.exists()


def test_a_worker_that_died_before_the_first_shard_is_noticed(tmp_path: Path, tree: Path) -> None:
    job = plan_build(ClassFolders(root=tree), BuildOptions())
    with local_crew(1) as crew:
        dying = crew.executor.submit(os._exit, 1)
        assert dying.exception() is not None
        with pytest.raises(ShardError, match=r"^a worker process died, killed or out of memory; finished shards"):
            build(job, store_at(tmp_path / "out"), crew)


def test_two_builds_into_one_folder_are_refused(tmp_path: Path, tree: Path, run_build: Run) -> None:
    (tmp_path / "out" / ".build").mkdir(parents=True)
    with hold_lock(tmp_path / "out" / ".build" / "lock"), pytest.raises(ShardError, match="another build is writing"):
        run_build(ClassFolders(root=tree), tmp_path / "out")
