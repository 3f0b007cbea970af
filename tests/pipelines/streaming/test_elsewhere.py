"""Tars in another place than their manifest and indices give the same batches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from shards.tars.shardset import load_shard_set


def test_tars_in_another_folder_are_read_by_the_indices_here(make_set: Any, make_loader: Any, tmp_path: Path) -> None:
    shards = make_set(24)
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(shards.root, here)
    there.mkdir()
    for tar in here.glob("*.tar"):
        tar.rename(there / tar.name)
    moved = load_shard_set(here, tars_elsewhere=True)
    ours = list(make_loader(moved, options={"tars_at": f"{there}/"}))
    theirs = list(make_loader(shards))
    assert len(ours) == len(theirs) == 6
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.sample_ids, other.sample_ids)
        assert all(torch.equal(a, b) for a, b in zip(one.groups, other.groups, strict=True))
