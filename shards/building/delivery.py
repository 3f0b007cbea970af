"""Sending each shard to a URL as soon as it is written, by the worker that wrote it, and keeping no local copy.

Any executor will do: the wrapper only puts the sending behind the writing. So the disk of a machine holds no more
than the shards that its workers have in hand, and the bytes go straight from the worker to the store.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from shards.building.outcome import quarantined
from shards.building.quarantine import FOLDER
from shards.building.record import BUILD_FOLDER, ShardRecord, record_path
from shards.building.shard_task import ShardTask
from shards.building.workers import Crew
from shards.remote.arrival import send_checked
from shards.remote.places import RemoteFolder

Write = Callable[[ShardTask], ShardRecord]


def delivering(crew: Crew, target: RemoteFolder) -> Crew:
    """The same crew, whose workers send what they write to `target`."""
    return replace(crew, executor=_Delivering(crew.executor, target))


class _Delivering(Executor):
    def __init__(self, executor: Executor, target: RemoteFolder) -> None:
        self._executor, self._target = executor, target

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(partial(write_and_send, fn, self._target), *args, **kwargs)


def write_and_send(write: Write, target: RemoteFolder, task: ShardTask) -> ShardRecord:
    """Write a shard below `task.out`, send its files, its record last, and remove them here.

    Raises:
        ShardError: as `write_shard`; or a file did not arrive as it was written.
    """
    (task.out / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)  # on another machine nobody else has made it
    record = write(task)
    entry = record.entry
    if entry.num_samples:
        for name, sha256 in ((entry.tar, entry.tar_sha256), (entry.idx, entry.idx_sha256)):
            send_checked(target, name, task.out / name, sha256)
            (task.out / name).unlink()
    for name in quarantined(record):
        _move(task.out / FOLDER / name, target, f"{FOLDER}/{name}")
    _move(record_path(task.out, task.stem), target, f"{BUILD_FOLDER}/{task.stem}.json")
    return record


def _move(local: Path, target: RemoteFolder, name: str) -> None:
    if local.is_file():  # a picture without bytes is in the record, but has no file
        target.put(str(local), name)
        local.unlink()
