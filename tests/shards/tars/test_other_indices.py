"""The same shards read by timm's reader and by wids, through the indices written for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.building.build import write_indices
from shards.remote.store import store_at
from shards.sources.folders import ClassFolders
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]


@pytest.fixture
def root(tmp_path: Path, tree: Path, run_build: Run) -> Path:
    root = tmp_path / "root"
    splits = {
        name: run_build(ClassFolders(root=tree), root / name, shard_mib=0.01)[0] for name in ("train", "validation")
    }
    write_indices(store_at(root), splits)
    return root


@pytest.mark.filterwarnings("ignore")
def test_timm_reads_every_sample_with_its_label(root: Path, tree: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is an optional oracle")
    assert timm
    from timm.data.readers.reader_wds import ReaderWds

    reader = ReaderWds(str(root), name="", split="validation", is_training=False, batch_size=1)
    assert len(reader) == 21
    labels = sorted(label for _, label in reader)
    assert labels == sorted([0] * 5 + [1] * 9 + [2] * 7)


@pytest.mark.filterwarnings("ignore")
def test_wids_reads_every_sample(root: Path) -> None:
    wids = pytest.importorskip("wids", reason="wids is an optional oracle")
    dataset = wids.ShardListDataset(str(root / "train" / "shardindex.json"), keep=True)
    assert len(dataset) == 21
    keys = {dataset[number]["__key__"] for number in range(21)}
    assert keys == {f"{number:09d}" for number in range(21)}


def test_a_set_without_splits_is_timms_train(tmp_path: Path, tree: Path, run_build: Run) -> None:
    manifest, _ = run_build(ClassFolders(root=tree), tmp_path / "one")
    write_indices(store_at(tmp_path / "one"), {"": manifest})
    info = json.loads((tmp_path / "one" / "_info.json").read_text())
    assert info["splits"]["train"]["filenames"] == ["shard-000000.tar"]
