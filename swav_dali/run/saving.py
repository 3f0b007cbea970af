"""Checkpoints written while the training goes on: the loop stops for a copy to the host, a thread does the rest.

Every rank's thread writes that rank's part and tells its size and sha256 through the ranks' store; rank 0's gives the
checkpoint its name once all parts are there. No collective is spent on it, so the threads never meet the loop's. A
checkpoint that was begun is finished before the next one, before the run leaves and at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from shards.host.atomic import sync_folder, write_whole
from swav_dali.errors import CheckpointError
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import CheckpointMeta, Stateful, fingerprint, rank_file, set_aside, sweep

PATIENCE_SECONDS = 10.0
LOST_SECONDS = 2.0
_POLL_SECONDS = 0.05
_TELLING_SECONDS = 2.0
Files = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What this rank saves, in host memory of its own.

    Attributes:
        step: steps done.
        epoch: epochs done.
        files: states by part, by the name of their file.
        config: the flattened configuration, compared on resume.
        versions: packages the bits depend on.
    """

    step: int
    epoch: int
    files: Mapping[str, Mapping[str, Any]]
    config: dict[str, Any]
    versions: dict[str, str]


class CheckpointWriter:
    """One at a time; every rank has one and makes the same calls."""

    def __init__(
        self,
        root: Path,
        world: World,
        *,
        tidy: Callable[[int], None] = lambda step: None,
        tell: Callable[[int, Path], None] = lambda step, folder: None,
    ) -> None:
        """Write under `root`, the checkpoints folder, which all ranks see.

        Args:
            root: made where it is missing.
            world: this rank.
            tidy: called on rank 0 after the checkpoint of a step has its name, by the thread.
            tell: called on every rank with the step and the folder, by the loop.
        """
        self._root, self._world, self._tidy, self._tell = root, world, tidy, tell
        self._thread: threading.Thread | None = None
        self._step = 0
        self._error: Exception | None = None
        self._is_given_up = threading.Event()

    def begin(
        self,
        *,
        step: int,
        epoch: int,
        shared: Mapping[str, Stateful],
        per_rank: Mapping[str, Stateful],
        config: dict[str, Any],
        versions: dict[str, str],
    ) -> None:
        """Copy the states to the host and write them from there, once an earlier checkpoint is done.

        Args:
            step: steps done.
            epoch: epochs done.
            shared: parts that rank 0 writes for all.
            per_rank: parts that every rank writes for itself.
            config: see Snapshot.
            versions: see Snapshot.

        Raises:
            CheckpointError: the disk does not take it, or did not take the one before.
        """
        self.finish()
        rank = self._world.rank
        parts = {rank_file(rank): per_rank, **({"shared.pt": shared} if self._world.is_main else {})}
        with _full_disk_is_said(self._draft(step)):
            files = {
                name: {part: on_host(each.state_dict()) for part, each in of_file.items()}
                for name, of_file in parts.items()
            }
        snapshot = Snapshot(step=step, epoch=epoch, files=files, config=config, versions=versions)
        self._step = step
        self._thread = threading.Thread(
            target=self._run, args=(snapshot, _Ranks(self._world, self._is_given_up)), name="checkpoint", daemon=True
        )
        self._thread.start()

    def poll(self) -> None:
        """Tell of a checkpoint that has been completed since; raises the error of one that could not be written."""
        if self._thread is not None and not self._thread.is_alive():
            self.finish()

    def finish(self) -> None:
        """Wait until the checkpoint that was begun is complete on all ranks; raises as `poll` does."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        if self._error is not None:
            raise self._error
        self._tell(self._step, self._final(self._step))

    def close(self) -> None:
        """Give a checkpoint that was begun some seconds to be completed; for a run that ends in an error."""
        if self._thread is None:
            return
        self._thread.join(LOST_SECONDS)
        self._is_given_up.set()  # a rank that is lost will never write its part
        self._thread.join(PATIENCE_SECONDS)
        if not self._thread.is_alive() and self._error is None:
            self.finish()

    def _final(self, step: int) -> Path:
        return self._root / f"step-{step:08d}"

    def _draft(self, step: int) -> Path:
        return self._root / f".step-{step:08d}.partial"

    def _run(self, snapshot: Snapshot, ranks: _Ranks) -> None:
        try:
            self._write(snapshot, ranks)
        except Exception as error:  # raised again in the loop
            self._error = error

    def _write(self, snapshot: Snapshot, ranks: _Ranks) -> None:
        draft, final = self._draft(snapshot.step), self._final(snapshot.step)
        with _full_disk_is_said(draft):
            if self._world.is_main:
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir(parents=True)
            ranks.begin()
            files = {name: _write_tensors(draft / name, parts) for name, parts in snapshot.files.items()}
            files = ranks.gather(files)
            if self._world.is_main:
                meta = CheckpointMeta(
                    step=snapshot.step,
                    epoch=snapshot.epoch,
                    world_size=self._world.size,
                    config=snapshot.config,
                    versions=snapshot.versions,
                    files=dict(sorted(files.items())),
                )
                write_whole(draft / "meta.json", json.dumps(asdict(meta), indent=1).encode())
        if self._world.is_main:
            set_aside(final)
            draft.rename(final)
            sync_folder(self._root)
            sweep(self._root)
            self._tidy(snapshot.step)
        ranks.end()


class _Ranks:
    """The threads of all ranks over one checkpoint, through their store."""

    def __init__(self, world: World, is_given_up: threading.Event) -> None:
        """To be made by the loops of all ranks in the same order."""
        self._world, self._is_given_up = world, is_given_up
        if world.size > 1:
            self._store = dist.distributed_c10d._get_default_store()
            self._place = f"checkpoint/{self._store.add(f'checkpoint/of-rank/{world.rank}', 1)}"

    def begin(self) -> None:
        """Wait for rank 0 to have made the folder."""
        self._after_main("begun")

    def gather(self, files: Files) -> Files:
        """What every rank has written, on rank 0."""
        if self._world.size == 1:
            return files
        told = self._to_main("written", json.dumps(files))
        return {name: entry for each in told for name, entry in json.loads(each).items()} or files

    def end(self) -> None:
        """Wait for rank 0 to have given the checkpoint its name; rank 0, whose store it may be, until all know it."""
        self._after_main("done")
        if self._world.size > 1:
            self._to_main("known", "")

    def _to_main(self, word: str, text: str) -> list[str]:
        """Every rank's `text` on rank 0, nothing on the others."""
        self._store.set(f"{self._place}/{word}/{self._world.rank}", text)
        if not self._world.is_main:
            return []
        keys = [f"{self._place}/{word}/{rank}" for rank in range(self._world.size)]
        self._wait(keys)
        told = [self._store.get(key).decode() for key in keys]
        for key in keys:
            self._store.delete_key(key)
        return told

    def _after_main(self, word: str) -> None:
        if self._world.size == 1:
            return
        if self._world.is_main:
            self._store.set(f"{self._place}/{word}", "")
        else:
            self._wait([f"{self._place}/{word}"])

    def _wait(self, keys: list[str]) -> None:
        """A blocking wait would keep the other threads of this rank from the store."""
        until = time.monotonic() + self._store.timeout.total_seconds()  # type: ignore[attr-defined]
        while not self._store.check(keys):
            if self._is_given_up.is_set() or time.monotonic() > until:
                raise CheckpointError(
                    "not written: another rank's part is missing",
                    where="checkpoint",
                    fix="start again: the run continues from the newest checkpoint",
                )
            time.sleep(_POLL_SECONDS)


def on_host(value: Any) -> Any:
    """A copy of a state whose tensors are in host memory that no step changes."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: on_host(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_host(each) for each in value)
    return value


def _write_tensors(path: Path, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Write through to the disk; size and sha256."""
    with path.open("wb") as file:
        torch.save(dict(parts), file)
        file.flush()
        os.fsync(file.fileno())
    return fingerprint(path)


@contextmanager
def _full_disk_is_said(draft: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch wraps what a write inside torch.save raised
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        if isinstance(cause, FileNotFoundError):  # another rank has removed the draft, and is about to tell why
            time.sleep(_TELLING_SECONDS)
        shutil.rmtree(draft, ignore_errors=True)
        raise CheckpointError(
            "the checkpoint cannot be written",
            where=draft.parent,
            found=cause,
            fix="make room and start again: the run continues from the newest checkpoint",
        ) from error
