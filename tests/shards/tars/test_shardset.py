"""Opening a shard set: what it says, and that a set which is not what its manifest says is refused by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.sources.folders import ClassFolders
from shards.tars.shardset import load_shard_set


@pytest.fixture
def out(tmp_path: Path, tree: Path, run_build: Callable[..., object]) -> Path:
    run_build(ClassFolders(root=tree), tmp_path / "out", seed=4, shard_mib=0.01)
    return tmp_path / "out"


def test_a_set_knows_its_samples_classes_and_files(out: Path) -> None:
    shard_set = load_shard_set(out)
    assert (shard_set.num_samples, shard_set.seed, shard_set.classes) == (21, 4, ("ant", "bee", "cat"))
    assert shard_set.is_labelled
    assert shard_set.fingerprint == hashlib.sha256((out / "manifest.json").read_bytes()).hexdigest()
    for shard in shard_set.shards:
        content = shard.tar.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.tar_bytes, shard.tar_sha256)


def test_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"nowhere: no such folder.*python -m shards build"):
        load_shard_set(tmp_path / "nowhere")


def test_folder_without_manifest_says_what_is_there(out: Path) -> None:
    with pytest.raises(
        ShardError, match=rf"no manifest.json, found shard sets in its subfolders: out; .*instance {out}$"
    ):
        load_shard_set(out.parent)
    (out / "manifest.json").unlink()
    with pytest.raises(ShardError, match=r"no manifest.json, found \d+ tar files"):
        load_shard_set(out)


@pytest.mark.parametrize("name", ["shard-000001.tar", "shard-000001.idx"])
def test_missing_file_is_named(out: Path, name: str) -> None:
    (out / name).unlink()
    with pytest.raises(ShardError, match=f"{name}: named in the manifest but missing.*shards check"):
        load_shard_set(out)


def test_grown_tar_and_changed_index_are_refused(out: Path) -> None:
    index = out / "shard-000000.idx"
    original = index.read_bytes()
    index.write_bytes(original.replace(b"jpg", b"png", 1))
    with pytest.raises(ShardError, match=r"shard-000000.idx: changed since the manifest was written"):
        load_shard_set(out)
    index.write_bytes(original)
    with (out / "shard-000000.tar").open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(ShardError, match=r"shard-000000.tar: changed since the manifest was written, found \d+ bytes"):
        load_shard_set(out)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "other", "version": 1}', b"\xff"])
def test_manifest_that_is_none_is_refused(out: Path, content: bytes) -> None:
    (out / "manifest.json").write_bytes(content)
    with pytest.raises(ShardError, match=r"manifest.json: "):
        load_shard_set(out)
