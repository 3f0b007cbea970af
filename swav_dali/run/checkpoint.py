"""Checkpoints on disk: written whole or not at all, found by scanning for complete ones.

checkpoints/step-000123/ holds shared.pt (one copy of what all ranks agree on), rank-00000.pt for every rank, and
meta.json, written last, with the size and sha256 of each file. The folder gets its name by rename, after fsync.
All ranks must see the same file system. What is saved is up to the caller: named parts with a state. Writing is
swav_dali.run.saving.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from swav_dali.errors import CheckpointError

FORMAT = "swav-dali-checkpoint"
VERSION = 1


class Stateful(Protocol):
    """Anything that can be saved and continued."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> object: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointMeta:
    """meta.json: where in the training this is, and what it was made with."""

    step: int
    epoch: int
    world_size: int
    config: dict[str, Any]
    versions: dict[str, str]
    files: dict[str, dict[str, Any]]
    format: str = FORMAT
    version: int = VERSION


def load_meta(folder: Path) -> CheckpointMeta:
    """The checkpoint's meta.json, keys of other versions left out.

    Raises:
        CheckpointError: it is missing, damaged, foreign or newer than this code.
    """
    path = folder / "meta.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError("not a checkpoint", where=folder, found=f"meta.json: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError("not a checkpoint", where=folder, found=f"{type(data).__name__} in meta.json")
    if data.get("format") != FORMAT or data.get("version") != VERSION:
        found = f"{data.get('format')} {data.get('version')}"
        raise CheckpointError("not a checkpoint of this version", where=folder, found=found, expected=f"{FORMAT} 1")
    wrong = [key for key, kind in _META_TYPES.items() if type(data.get(key)) is not kind]
    if wrong or not all(map(_is_fingerprint, data["files"].values())):
        found = f"no usable {', '.join(wrong or ['files'])} in meta.json"
        raise CheckpointError("not a whole checkpoint", where=folder, found=found)
    return CheckpointMeta(**{key: data[key] for key in _META_TYPES})


_META_TYPES = {"step": int, "epoch": int, "world_size": int, "config": dict, "versions": dict, "files": dict}


def check_checkpoint(folder: Path) -> CheckpointMeta:
    """Read every byte of a checkpoint and compare it with what was written; its meta.json.

    Raises:
        CheckpointError: a file is missing or its bytes have changed, or meta.json names another place in the training
            than the states do.
    """
    meta = load_meta(folder)
    for name in ("shared.pt", *(rank_file(rank) for rank in range(meta.world_size))):
        _check_file(folder / name, meta)
    clock = load_parts(folder, "shared.pt", meta).get("clock", {})
    loader = load_parts(folder, rank_file(0), meta).get("loader", {})
    step, epoch, rest = clock.get("step", -1), loader.get("epoch", -1), loader.get("step_in_epoch", -1)
    if step != meta.step or not _is_place(meta, epoch, rest):
        raise CheckpointError(
            "meta.json names another place in the training than the states",
            where=folder,
            found=f"step {meta.step}, epoch {meta.epoch}",
            expected=f"step {step}, with {rest} steps of epoch {epoch} done",
        )
    return meta


def rank_file(rank: int) -> str:
    """The file of one rank's part."""
    return f"rank-{rank:05d}.pt"


def _is_place(meta: CheckpointMeta, epoch: int, rest: int) -> bool:
    """Whether `meta` counts `epoch` whole epochs and `rest` steps; all steps of one may have been counted as whole."""
    if epoch < 0 or rest < 0:
        return False
    if epoch == 0:
        return meta.step == rest and meta.epoch in (0, min(rest, 1))
    per_epoch, left = divmod(meta.step - rest, epoch)
    return left == 0 and rest <= per_epoch and meta.epoch in (epoch, epoch + rest // per_epoch)


def load_parts(folder: Path, name: str, meta: CheckpointMeta | None = None) -> dict[str, Any]:
    """The saved states of shared.pt or rank-….pt, on the CPU, by part name.

    Args:
        folder: the checkpoint.
        name: the file.
        meta: given where the file has just been compared with it.

    Raises:
        CheckpointError: the file is missing, or its bytes are not those that were written.
    """
    if meta is None:
        _check_file(folder / name, load_meta(folder))
    parts: dict[str, Any] = torch.load(folder / name, map_location="cpu", weights_only=True)
    return parts


def _check_file(path: Path, meta: CheckpointMeta) -> None:
    expected = meta.files.get(path.name)
    if expected is None or not path.is_file():
        raise CheckpointError("file missing", where=path, fix="continue from another one with --resume PATH")
    try:
        is_whole = path.stat().st_size == expected["bytes"] and fingerprint(path) == expected
    except OSError as error:
        raise CheckpointError("cannot be read", where=path, found=error) from error
    if not is_whole:
        raise CheckpointError(
            "bytes differ from those written", where=path, fix="continue from another one with --resume PATH"
        )


def find_checkpoints(root: Path) -> list[Path]:
    """Complete checkpoint folders, oldest first: meta.json is there and every file has its size."""
    return [folder for folder in step_folders(root) if _is_complete(folder)]


def step_folders(root: Path) -> list[Path]:
    """Everything under a checkpoint's name, oldest first, whatever its state."""
    folders = (path for path in root.glob("step-*") if path.is_dir())  # beside them lie results of evaluations
    return sorted(folders) if root.is_dir() else []


def prune_checkpoints(root: Path, *, step: int, keep: int, is_permanent: Callable[[int], bool]) -> None:
    """Delete what is no longer wanted after the checkpoint of `step` was written.

    Later steps are of a branch the run went back behind (an older --resume, another number of ranks). Of the rest
    the newest `keep` stay, and those whose step is permanent.
    """
    steps = {folder: load_meta(folder).step for folder in find_checkpoints(root)}
    abandoned = [folder for folder, its in steps.items() if its > step]
    current = [folder for folder, its in steps.items() if its <= step]
    for folder in abandoned + [folder for folder in current[:-keep] if not is_permanent(steps[folder])]:
        set_aside(folder)
    sweep(root)


def sweep(root: Path) -> None:
    """Remove drafts and deleted folders that a killed process left; only rank 0, and not while others write."""
    for leftover in root.glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def set_aside(folder: Path) -> None:
    """Take a checkpoint's name away in one move, so that a kill never leaves half of one under its name."""
    if folder.exists():
        trash = folder.with_name(f".{folder.name}.deleted")
        shutil.rmtree(trash, ignore_errors=True)
        folder.rename(trash)


def _is_complete(folder: Path) -> bool:
    try:
        files = load_meta(folder).files
    except CheckpointError:
        return False
    return all(
        (folder / name).exists() and (folder / name).stat().st_size == info["bytes"] for name, info in files.items()
    )


def _is_fingerprint(entry: object) -> bool:
    return isinstance(entry, dict) and type(entry.get("bytes")) is int and type(entry.get("sha256")) is str


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
