"""Shards changed under a run are named before a checkpoint is written; the same bytes put back are no change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.tars.shardset import load_shard_set
from swav_dali.errors import TrainingError
from swav_dali.run.data_guard import DataGuard


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_data / "train", tmp_path / "train"))


def flip(tar: Path) -> None:
    content = bytearray(tar.read_bytes())
    content[3000] ^= 1
    tar.write_bytes(content)


CHANGES: dict[str, Callable[[Path], object]] = {
    "has changed": flip,
    "has changed since": lambda tar: os.truncate(tar, 1024),
    "has gone": Path.unlink,
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_changed_shard_is_named(data: Path, words: str) -> None:
    shards = load_shard_set(data).shards
    guard = DataGuard(shards)
    guard.check()
    CHANGES[words](shards[0].tar)
    with pytest.raises(TrainingError, match=rf"{shards[0].tar.name}: the shard {words}"):
        guard.check()


def test_the_same_bytes_put_back_are_read_once_and_accepted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = load_shard_set(data).shards
    guard = DataGuard(shards)
    copy = shards[0].tar.with_suffix(".new")
    shutil.copyfile(shards[0].tar, copy)
    copy.replace(shards[0].tar)
    guard.check()
    monkeypatch.setattr("swav_dali.run.data_guard._sha256", lambda path: pytest.fail("read again"))
    guard.check()
