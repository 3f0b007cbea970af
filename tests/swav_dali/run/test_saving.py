"""Checkpoints written beside the training: what was copied is what is saved, errors reach the loop, ranks agree."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from swav_dali.errors import CheckpointError
from swav_dali.ranks.world import World
from swav_dali.run import saving
from swav_dali.run.checkpoint import check_checkpoint, find_checkpoints, load_meta, load_parts
from swav_dali.run.saving import CheckpointWriter, on_host

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
LONG = 60.0


class Part:
    def __init__(self, **state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


class Disk:
    """fsync that waits until it may go on, and then fails if it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_write, self.is_full = threading.Event(), False
        real = os.fsync

        def fsync(descriptor: int) -> None:
            assert self.may_write.wait(LONG)
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def begin(writer: CheckpointWriter, step: int, weight: torch.Tensor, rank: int = 0) -> None:
    writer.begin(
        step=step,
        epoch=0,
        shared={"model": Part(weight=weight), "clock": Part(step=step)},
        per_rank={"loader": Part(rank=rank, epoch=0, step_in_epoch=step)},
        config={},
        versions={},
    )


def test_the_loop_goes_on_while_it_is_written_and_what_it_changes_is_not_saved(tmp_path: Path, disk: Disk) -> None:
    told: list[tuple[int, Path]] = []
    writer = CheckpointWriter(tmp_path, ALONE, tell=lambda step, folder: told.append((step, folder)))
    weight = torch.arange(5.0)
    begin(writer, 3, weight)
    weight.add_(100)
    writer.poll()
    assert (told, find_checkpoints(tmp_path)) == ([], [])
    disk.may_write.set()
    writer.finish()
    folder = tmp_path / "step-00000003"
    assert told == [(3, folder)]
    assert torch.equal(load_parts(folder, "shared.pt")["model"]["weight"], torch.arange(5.0))
    assert check_checkpoint(folder).step == 3
    writer.finish()
    assert len(told) == 1


def polled(writer: CheckpointWriter) -> None:
    """As a loop of short steps does it."""
    for _ in range(int(LONG * 100)):
        writer.poll()
        time.sleep(0.01)


def test_a_second_checkpoint_waits_for_the_first(tmp_path: Path, disk: Disk) -> None:
    tidied: list[int] = []
    writer = CheckpointWriter(tmp_path, ALONE, tidy=tidied.append)
    begin(writer, 1, torch.zeros(2))
    threading.Timer(0.2, disk.may_write.set).start()
    begin(writer, 2, torch.ones(2))
    assert [load_meta(folder).step for folder in find_checkpoints(tmp_path)][:1] == [1]
    writer.finish()
    assert [load_meta(folder).step for folder in find_checkpoints(tmp_path)] == [1, 2]
    assert tidied == [1, 2]


@pytest.mark.parametrize("by", ["poll", "finish", "begin"])
def test_a_full_disk_reaches_the_loop_and_leaves_the_older_checkpoint(tmp_path: Path, disk: Disk, by: str) -> None:
    writer = CheckpointWriter(tmp_path, ALONE)
    disk.may_write.set()
    begin(writer, 1, torch.zeros(2))
    writer.finish()
    disk.is_full = True
    begin(writer, 2, torch.zeros(2))
    ways = {"begin": lambda: begin(writer, 3, torch.zeros(2)), "finish": writer.finish, "poll": lambda: polled(writer)}
    with pytest.raises(CheckpointError, match=r"cannot be written, found .*No space left"):
        ways[by]()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_run_that_fails_still_completes_what_was_begun(tmp_path: Path, disk: Disk) -> None:
    writer = CheckpointWriter(tmp_path, ALONE)
    begin(writer, 1, torch.zeros(2))
    threading.Timer(0.2, disk.may_write.set).start()
    writer.close()
    assert [load_meta(folder).step for folder in find_checkpoints(tmp_path)] == [1]


def test_copies_share_no_memory_and_keep_their_order_in_memory() -> None:
    image = torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)
    state = {"a": image, "b": [torch.ones(2), (3, "x")], "c": {"d": None}}
    copied = on_host(state)
    image.zero_()
    assert copied["a"].sum() == sum(range(24))
    assert copied["a"].is_contiguous(memory_format=torch.channels_last)
    assert copied["b"][1] == (3, "x")
    assert copied["c"] == {"d": None}


def saved_by_ranks(world: World, root: str) -> list[list[str]]:
    writer = CheckpointWriter(Path(root), world)
    seen = []
    for step in (1, 2):
        begin(writer, step, torch.full((3,), float(step)), rank=world.rank)
        writer.finish()
        seen.append(sorted(check_checkpoint(find_checkpoints(Path(root))[-1]).files))
    return seen


def test_once_finished_it_is_complete_for_every_rank(tmp_path: Path, run_ranks: Callable[..., list[Any]]) -> None:
    files = ["rank-00000.pt", "rank-00001.pt", "rank-00002.pt", "shared.pt"]
    assert run_ranks(saved_by_ranks, 3, str(tmp_path / "saved")) == [[files, files]] * 3
    newest = find_checkpoints(tmp_path / "saved")[-1]
    assert [load_parts(newest, f"rank-0000{rank}.pt")["loader"]["rank"] for rank in range(3)] == [0, 1, 2]


def one_rank_has_no_room(world: World, root: str) -> str:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    saving.LOST_SECONDS = 0.5
    if world.rank == 1:
        os.fsync = full
    writer = CheckpointWriter(Path(root), world)
    begin(writer, 1, torch.zeros(2), rank=world.rank)
    if world.rank == 0:
        writer.close()  # as when the other rank's error ends this one
        return "given up"
    try:
        writer.finish()
    except CheckpointError as error:
        return str(error)
    return "saved"


def test_a_rank_without_room_says_so_and_no_checkpoint_gets_a_name(
    tmp_path: Path, run_ranks: Callable[..., list[Any]]
) -> None:
    given_up, said = run_ranks(one_rank_has_no_room, 2, str(tmp_path / "saved"))
    assert given_up == "given up"
    assert "No space left" in said
    assert find_checkpoints(tmp_path / "saved") == []
