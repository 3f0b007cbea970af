"""Indexing other people's tars in place: DALI reads what the index names, bad pictures are not named."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest

from shards.building.events import read_errors
from shards.building.indexing import index_folder
from shards.errors import ShardError
from shards.host.lock import hold_folder
from shards.remote.store import store_at
from shards.tars.shardset import load_shard_set

Make = Callable[..., bytes]
Decode = Callable[[Path], list[tuple[str, tuple[int, ...]]]]


def write_tar(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 0.5
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_dali_reads_indexed_tars_with_long_and_spaced_names(
    tmp_path: Path, make_picture: Make, executor: Executor, decode_with_dali: Decode, kind: int
) -> None:
    long = "n" * 120
    members = [
        ("my cat.jpg", make_picture(0)),
        ("my cat.cls", b"0"),
        (f"{long}.jpg", make_picture(1)),
        (f"{long}.cls", b"2"),
    ]
    write_tar(tmp_path / "x.tar", members, kind)
    manifest = index_folder(tmp_path, executor)
    assert (manifest.num_samples, manifest.classes) == (2, ("0", "1", "2"))
    assert [shape for _, shape in decode_with_dali(tmp_path)] == [(16, 24, 3)] * 2
    assert load_shard_set(tmp_path).is_labelled


def test_pictures_that_do_not_decode_are_not_named(
    tmp_path: Path, make_picture: Make, executor: Executor, decode_with_dali: Decode
) -> None:
    write_tar(tmp_path / "x.tar", [("a.jpg", make_picture(0)[:-80]), ("b.jpg", make_picture(1)), ("c.jpg", b"")])
    (tmp_path / "x.idx.tmp-host-1").write_bytes(b"left by a killed writer")
    before = (tmp_path / "x.tar").read_bytes()
    manifest = index_folder(tmp_path, executor)
    assert (manifest.num_samples, manifest.num_dropped, manifest.classes) == (1, 2, ())
    assert [event["trouble"] for event in read_errors(store_at(tmp_path))] == ["truncated", "empty"]
    assert decode_with_dali(tmp_path) == [("000000000/b", (16, 24, 3))]
    assert (tmp_path / "x.tar").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp-*"))


def test_mistakes_are_named(tmp_path: Path, make_picture: Make, executor: Executor) -> None:
    with pytest.raises(ShardError, match="no tars to index"):
        index_folder(tmp_path, executor)
    write_tar(tmp_path / "x.tar", [("a.jpg", make_picture(0)), ("a.cls", b"0"), ("b.jpg", make_picture(1))])
    with pytest.raises(ShardError, match="only some samples have a label, found 1 of 2 without"):
        index_folder(tmp_path, executor)
    write_tar(tmp_path / "x.tar", [("a.jpg", make_picture(0)), ("a.cls", b"7")])
    with pytest.raises(ShardError, match="labels beyond the list of classes, found 7, expected below 2"):
        index_folder(tmp_path, executor, classes=("a", "b"))
    write_tar(tmp_path / "x.tar", [("a.jpg", make_picture(0)), ("a.cls", b"dog")])
    with pytest.raises(ShardError, match="a label is not a number"):
        index_folder(tmp_path, executor)


def test_two_indices_of_one_folder_at_a_time_are_refused(
    tmp_path: Path, make_picture: Make, executor: Executor
) -> None:
    write_tar(tmp_path / "x.tar", [("a.jpg", make_picture(0))])
    with hold_folder(tmp_path), pytest.raises(ShardError, match="another index is being written here"):
        index_folder(tmp_path, executor)
    assert index_folder(tmp_path, executor).num_samples == 1


def test_a_refused_folder_stays_as_it_is(
    tmp_path: Path, make_picture: Make, executor: Executor, files_of: Callable[[Path], dict[str, bytes]]
) -> None:
    write_tar(tmp_path / "x.tar", [("a.jpg", make_picture(0)), ("a.cls", b"0")])
    index_folder(tmp_path, executor)
    write_tar(tmp_path / "y.tar", [("b.jpg", make_picture(1))])
    before = files_of(tmp_path)
    with pytest.raises(ShardError, match="only some samples have a label"):
        index_folder(tmp_path, executor)
    assert files_of(tmp_path) == before
