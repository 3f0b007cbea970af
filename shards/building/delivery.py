"""Sending each shard to a URL as soon as it is written, by the worker that wrote it, and keeping no local copy.

So the disk of a machine holds no more than the shards that its workers have in hand, and the bytes go straight from
the worker to the store.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from shards.building.crew import Crew
from shards.building.events import quarantined
from shards.building.record import BUILD_FOLDER, ShardRecord, record_name
from shards.building.shard_task import ShardTask, write_shard
from shards.remote.copies import send_checked
from shards.remote.store import Store


def scratch_folder(base: Path | None, url: str) -> Path:
    """Where the shards of a build at `url` lie while they are written: below `base`, $TMPDIR or the working directory.

    The name is the same for the same URL, so that the next build clears away what a killed one left.
    """
    base = base or Path(os.environ.get("TMPDIR", "."))
    return base / f"shards-scratch-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def delivering(crew: Crew, target: Store) -> Crew:
    """The same crew, whose workers send what they write to `target`."""
    return replace(crew, work=partial(write_and_send, target))


def write_and_send(target: Store, task: ShardTask) -> ShardRecord:
    """Write a shard below `task.out`, send its files, its record last, and remove them here.

    Raises:
        ShardError: as `write_shard`; or a file did not arrive as it was written.
    """
    (task.out / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)  # on another machine nobody else has made it
    record = write_shard(task)
    entry = record.entry
    if entry.num_samples:
        for name, sha256 in ((entry.tar, entry.tar_sha256), (entry.idx, entry.idx_sha256)):
            send_checked(target, name, task.out / name, sha256)
            (task.out / name).unlink()
    for name in (*quarantined(record.events), record_name(task.stem)):
        if (task.out / name).is_file():  # a picture without bytes is in the record, but has no file
            target.put(task.out / name, name)
            (task.out / name).unlink()
    return record
