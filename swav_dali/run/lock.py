"""One job per run folder: a lock that goes with the process, and a sign of life for file systems that lock by machine.

`flock` is released by the kernel however the process ends, and NFS passes it on to the server. Some network file
systems keep it within one machine or refuse it, so the holder also writes who it is into the file, with a beat that
changes every few seconds: whoever gets the lock of another machine's file waits to see whether the beat moves.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swav_dali.errors import CheckpointError

NAME = ".lock"
BEAT_SECONDS = 10.0
_SIZE = 512  # the file never grows or shrinks, so that a full disk cannot stop a beat


@contextmanager
def hold_run(folder: Path, *, beat_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Own the run folder, which is made if it is missing, for the length of the block; for rank 0.

    A folder that is made here and stays empty is removed again. One that cannot be written has no owner, and needs
    none.

    Raises:
        CheckpointError: another job owns it; says who, where and since when.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:  # whoever writes there next says why it cannot
        yield
        return
    is_over = threading.Event()
    try:
        _acquire(descriptor, folder, beat_seconds)
        me = _me()
        _write(descriptor, me)
        beats = threading.Thread(target=_beat, args=(descriptor, me, is_over, beat_seconds), daemon=True)
        beats.start()
        try:
            yield
        finally:
            is_over.set()
            beats.join()
            _write(descriptor, {})
            if missing and [path.name for path in folder.iterdir()] == [NAME]:
                (folder / NAME).unlink()
                _remove_empty(missing)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, beat_seconds: float) -> None:
    holder = _read(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = holder.get("machine") in (None, _machine())
    except BlockingIOError:
        raise _refusal(folder, _read(folder)) from None
    except OSError:  # this file system has no locks: the beat alone decides
        is_free = not holder
    if is_free:
        return
    patience = 2.5 * beat_seconds
    print(f"{folder} was left by {_describe(holder)}: waiting {patience:.0f} s for a sign of life", file=sys.stderr)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        time.sleep(beat_seconds / 10)
        now = _read(folder)
        if not now:
            return
        if now.get("beat") != holder.get("beat"):
            raise _refusal(folder, now)


def _beat(descriptor: int, me: dict[str, Any], is_over: threading.Event, beat_seconds: float) -> None:
    number = 0
    while not is_over.wait(beat_seconds):
        number += 1
        _write(descriptor, {**me, "beat": number})


def _me() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"machine": _machine(), "host": socket.gethostname(), "pid": os.getpid(), "since": since, "beat": 0}


def _write(descriptor: int, holder: dict[str, Any]) -> None:
    text = json.dumps(holder) if holder else ""
    try:
        os.pwrite(descriptor, text.encode().ljust(_SIZE), 0)
    except OSError:  # a full disk at the very start: the kernel's lock still holds on this machine
        return


def _read(folder: Path) -> dict[str, Any]:
    """Who holds the folder by its file, opened anew because network file systems look again only then."""
    try:
        holder = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _refusal(folder: Path, holder: dict[str, Any]) -> CheckpointError:
    return CheckpointError(
        "another job is training here",
        where=folder,
        found=_describe(holder),
        fix="wait for it, or choose another --name",
    )


def _describe(holder: dict[str, Any]) -> str:
    if not holder:
        return "a process that has just started"
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"


def _machine() -> str:
    """The running kernel: the same in all containers of a machine, whose locks are the same too."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _remove_empty(folders: list[Path]) -> None:
    """Remove the folders that were made, deepest first, until one is in use."""
    for folder in folders:
        if any(folder.iterdir()):
            return
        folder.rmdir()
