"""A checkpoint is whole or it is not there; what comes back is what was saved."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from saved import save_checkpoint

from swav_dali.errors import CheckpointError
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import (
    find_checkpoints,
    load_meta,
    load_parts,
    prune_checkpoints,
)

WORLD = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


class Part:
    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


def save(root: Path, step: int, epoch: int = 0) -> Path:
    return save_checkpoint(
        root,
        step=step,
        epoch=epoch,
        shared={"model": Part({"weight": torch.arange(5.0), "step": step})},
        per_rank={"loader": Part({"blob": b"\x00\x01dali", "epoch": epoch})},
        config={"seed": 1},
        versions={"torch": "x"},
        world=WORLD,
    )


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    folder = save(tmp_path, 12, epoch=3)
    shared, rank = load_parts(folder, "shared.pt"), load_parts(folder, "rank-00000.pt")
    assert torch.equal(shared["model"]["weight"], torch.arange(5.0))
    assert rank["loader"] == {"blob": b"\x00\x01dali", "epoch": 3}
    meta = load_meta(folder)
    assert (meta.step, meta.epoch, meta.world_size, meta.config) == (12, 3, 1, {"seed": 1})


def test_the_newest_is_last_whatever_the_order_of_writing(tmp_path: Path) -> None:
    for step in (100, 9, 20):
        save(tmp_path, step)
    assert [load_meta(folder).step for folder in find_checkpoints(tmp_path)] == [9, 20, 100]


def test_a_draft_and_a_folder_without_meta_are_not_checkpoints(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".step-00000002.partial").mkdir()
    (tmp_path / "step-00000003").mkdir()
    assert [folder.name for folder in find_checkpoints(tmp_path)] == ["step-00000001"]


@pytest.mark.parametrize("name", ["shared.pt", "rank-00000.pt"])
def test_a_shortened_file_makes_the_one_before_the_newest(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1)
    damaged = save(tmp_path, 2) / name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert [folder.name for folder in find_checkpoints(tmp_path)] == ["step-00000001"]


def test_a_flipped_byte_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, 1) / "shared.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"shared\.pt: bytes differ"):
        load_parts(path.parent, "shared.pt")


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 5, epoch=0)
    folder = save(tmp_path, 5, epoch=1)
    assert load_meta(folder).epoch == 1
    assert len(find_checkpoints(tmp_path)) == 1


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_meta(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        load_meta(tmp_path)


ODD = {
    "a list": b"[]",
    "null": b"null",
    "cut": b'{"format": "swav',
    "a byte that is no text": b"\xff",
    "empty": b"",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_meta_file_is_one_line_and_hides_no_sound_checkpoint(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, 1)
    odd = save(tmp_path, 2)
    (odd / "meta.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-00000002: not a checkpoint") as caught:
        load_meta(odd)
    assert "\n" not in str(caught.value)
    assert steps(tmp_path) == [1]
    prune_checkpoints(tmp_path, step=1, keep=1, is_permanent=lambda _: False)


@pytest.mark.parametrize(
    ("key", "value"),
    [("step", None), ("step", "9"), ("files", []), ("files", {"shared.pt": {"sha256": "0"}}), ("config", 3)],
)
def test_a_key_of_another_kind_is_named(tmp_path: Path, key: str, value: Any) -> None:
    rewrite(save(tmp_path, 1), {key: value})
    with pytest.raises(CheckpointError, match=f"no usable {key} in meta.json"):
        load_meta(tmp_path / "step-00000001")


def test_a_missing_key_is_named_and_one_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    rewrite(folder, {"invented_later": 1})
    assert load_meta(folder).step == 1
    rewrite(folder, {}, without="world_size")
    with pytest.raises(CheckpointError, match="no usable world_size"):
        load_meta(folder)


def rewrite(folder: Path, changes: dict[str, Any], without: str = "") -> None:
    path = folder / "meta.json"
    data = {**json.loads(path.read_text()), **changes}
    data.pop(without, None)
    path.write_text(json.dumps(data))


def test_pruning_keeps_the_newest_and_the_permanent(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        save(tmp_path, step)
    prune_checkpoints(tmp_path, step=50, keep=2, is_permanent=lambda step: step == 10)
    assert steps(tmp_path) == [10, 40, 50]


def test_a_run_that_went_back_keeps_its_new_checkpoint_and_drops_the_branch_it_left(tmp_path: Path) -> None:
    for step in (30, 40, 50):
        save(tmp_path, step)
    save(tmp_path, 35)
    prune_checkpoints(tmp_path, step=35, keep=2, is_permanent=lambda _: False)
    assert steps(tmp_path) == [30, 35]


def test_drafts_and_half_deleted_folders_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    for name in (".step-00000002.partial", ".step-00000001.deleted"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared.pt").touch()
    save(tmp_path, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def steps(root: Path) -> list[int]:
    return [load_meta(folder).step for folder in find_checkpoints(root)]


class Full(Part):
    """A part whose writing finds the disk full, as torch.save reports it."""

    def state_dict(self) -> dict[str, Any]:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("PytorchStreamWriter failed writing file") from None


@pytest.mark.parametrize("error", ["by torch", "by the system"])
def test_a_full_disk_is_one_line_and_leaves_the_older_checkpoint_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    save(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if error == "by torch":
        monkeypatch.setattr(Part, "state_dict", Full.state_dict)
    else:
        monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"the checkpoint cannot be written, found .*No space left.*; make room"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
