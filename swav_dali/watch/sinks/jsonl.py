"""metrics.jsonl and events.jsonl: one JSON object a line, flushed as written.

Resuming at step s drops the records after s, which the resumed run writes again: a step stands once in the file.
metrics.jsonl is the truth, so it is never given up: what a full disk refuses is kept and tried again, and half a line
never stays in the file. An evaluation may append its figures while the run goes on: whoever writes to a run's lines
holds the lock of its events.jsonl, which is never replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swav_dali.errors import TrainingError
from swav_dali.watch.sinks.base import Event, Record, SinkNotice

CLOSE_SECONDS = 5.0
LOCK_SECONDS = 2.0
EVENTS, METRICS = "events.jsonl", "metrics.jsonl"


class JsonlSink:
    """Appends to `folder`/metrics.jsonl and `folder`/events.jsonl."""

    def __init__(self, folder: Path, *, resume_step: int) -> None:
        """Open both files; records of steps after `resume_step` are removed first.

        Raises:
            TrainingError: the folder cannot be written.
        """
        path = folder / METRICS
        self._folder = folder
        self._full_since: float | None = None
        try:
            with sole_writer(folder):
                _rewrite(path, [line for line in read_lines(path) if _step(line) <= resume_step])
            self._metrics = _Lines(path)
            self._events = _Lines(folder / EVENTS)
        except OSError as error:
            raise TrainingError("the run folder cannot be written", where=folder, found=error) from error

    def record(self, record: Record) -> None:
        """Append one line to metrics.jsonl; raises SinkNotice when writing stops or works again."""
        self._metrics.waiting.append(_line(record))
        self._flush()

    def event(self, event: Event) -> None:
        """Append one line, with the wall clock, to events.jsonl; raises SinkNotice as `record` does."""
        self._events.waiting.append(_event_line(event))
        self._flush()

    def close(self, *, failed: bool = False) -> None:
        """Write what is left and close both files; a run that failed waits for no room, others wait for its error.

        Raises:
            TrainingError: the disk stayed full for another CLOSE_SECONDS; says how many lines are lost.
        """
        until = time.monotonic() + (0.0 if failed else CLOSE_SECONDS)
        while (failure := self._write()) and time.monotonic() < until:
            time.sleep(0.5)
        self._metrics.close()
        self._events.close()
        if failure:
            found = f"{self._count()} left: {failure}"
            raise TrainingError("lines could not be written", where=self._folder, found=found, fix="make room first")

    def _flush(self) -> None:
        count, failure = self._count(), self._write()
        if failure and self._full_since is None:
            self._full_since = time.monotonic()
            raise SinkNotice(f"{self._folder} cannot be written, its lines are kept and tried again: {failure}")
        if not failure and self._full_since is not None:
            seconds, self._full_since = time.monotonic() - self._full_since, None
            raise SinkNotice(f"{self._folder} is written again after {seconds:.1f} s, caught up with {count}")

    def _write(self) -> OSError | None:
        if not self._metrics.waiting and not self._events.waiting:
            return None
        try:
            with sole_writer(self._folder):
                return self._metrics.write() or self._events.write()
        except OSError as failure:
            return failure

    def _count(self) -> str:
        return f"{len(self._metrics.waiting)} line(s) of metrics.jsonl and {len(self._events.waiting)} of events.jsonl"


class _Lines:
    """One file, and the lines that the disk has not taken yet; used by the folder's sole writer."""

    def __init__(self, path: Path) -> None:
        self.waiting: list[bytes] = []
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self) -> OSError | None:
        """Write what waits, whole lines or nothing."""
        size = _whole_lines(self._file, self._path)
        while self.waiting:
            line = self.waiting[0]
            try:
                if os.pwrite(self._file, line, size) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as failure:
                with contextlib.suppress(OSError):  # the next try writes over the half line
                    os.ftruncate(self._file, size)
                return failure
            size += len(self.waiting.pop(0))
        return None

    def close(self) -> None:
        os.close(self._file)


def append(folder: Path, record: Record, event: Event) -> None:
    """Add a record and an event to a run's files, whether or not a training writes there too; raises OSError."""
    with sole_writer(folder):
        for name, line in ((METRICS, _line(record)), (EVENTS, _event_line(event))):
            lines = _Lines(folder / name)
            try:
                lines.waiting.append(line)
                if failure := lines.write():
                    raise failure
            finally:
                lines.close()


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder's lines, which writers have for moments only; a file system without locks has none.

    Raises:
        OSError: the folder cannot be written, or another process has kept the lock for LOCK_SECONDS.
    """
    descriptor = os.open(folder / EVENTS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while not _is_locked(descriptor, last_try=time.monotonic() >= until):
            time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int, *, last_try: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if last_try:
            raise
        return False
    except OSError:  # this file system has no locks
        return True
    return True


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _event_line(event: Event) -> bytes:
    told = {key: value for key, value in asdict(event).items() if value != ""}
    return json.dumps({"time": round(time.time(), 3), **told}).encode() + b"\n"


def read_lines(path: Path) -> list[str]:
    """The lines of a JSONL file that are JSON objects: others, cut or damaged, are left out; no file is empty."""
    if not path.exists():
        return []
    return [line.decode() for line in path.read_bytes().split(b"\n")[:-1] if _is_object(line)]


def each_object(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of those lines, one by one: a long run's file is not held in memory."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and (found := _object(line)) is not None:
                yield found


def _is_object(line: bytes) -> bool:
    return _object(line) is not None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _step(line: str) -> float:
    step = json.loads(line).get("step")
    return step if isinstance(step, int) else float("inf")


def _whole_lines(file: int, path: Path) -> int:
    """Bytes up to the last line end; what a killed process left behind it is no line."""
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return size
    whole = path.read_bytes().rfind(b"\n") + 1
    os.ftruncate(file, whole)
    return whole


def _rewrite(path: Path, lines: list[str]) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
