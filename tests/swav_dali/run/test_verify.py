"""Checksums compared in the background: every changed byte of the chosen shards is found, by the rank that reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shards.errors import ShardError
from shards.tars.manifest import sha256_of
from shards.tars.shardset import Shard
from swav_dali.ranks.world import World
from swav_dali.run import verify
from swav_dali.run.verify import ShardCheck


def world(rank: int = 0, size: int = 1) -> World:
    return World(rank=rank, size=size, local_rank=rank, device=torch.device("cpu"))


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    made = []
    for number in range(6):
        tar = tmp_path / f"set-{number}.tar"
        tar.write_bytes(bytes([number]) * 10_000)
        shard = Shard(tar=tar, idx=tar, num_samples=1, tar_bytes=10_000, tar_sha256=sha256_of(tar.read_bytes()))
        made.append(shard)
    return made


def flip(shard: Shard) -> None:
    content = bytearray(shard.tar.read_bytes())
    content[7_777] ^= 4
    shard.tar.write_bytes(content)


@pytest.mark.parametrize("mode", ["sample", "full"])
def test_one_flipped_bit_is_found_by_the_rank_that_reads_it_and_named(shards: list[Shard], mode: verify.Verify) -> None:
    flip(shards[3])
    ShardCheck(shards, mode, world(0, 2)).finish()
    with pytest.raises(ShardError, match=r"set-3\.tar: its bytes have changed.*python -m shards check"):
        ShardCheck(shards, mode, world(1, 2)).finish()


def test_sound_shards_say_nothing_and_off_reads_nothing(shards: list[Shard]) -> None:
    check = ShardCheck(shards, "full", world())
    check.finish()
    check.raise_if_changed()
    check.close()
    flip(shards[0])
    ShardCheck(shards, "off", world()).finish()


def test_a_sample_is_bounded_in_bytes_and_never_empty(shards: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SAMPLE_BYTES", 25_000)
    assert len(verify._choose(shards, "sample")) == 2
    assert len(verify._choose([replace(shards[0], tar_bytes=10**12)], "sample")) == 1
    assert len(verify._choose(shards, "full")) == 6


def test_a_shard_that_is_gone_or_that_is_closed_in_mid_read_ends_the_thread(shards: list[Shard]) -> None:
    shards[2].tar.unlink()
    with pytest.raises(ShardError, match=r"set-2\.tar: cannot be read"):
        ShardCheck(shards, "full", world()).finish()
    check = ShardCheck(shards[:1], "full", world())
    check.close()
    check.raise_if_changed()
