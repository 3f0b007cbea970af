"""metrics.jsonl and events.jsonl: one JSON object a line, flushed as written.

Resuming at step s drops the records after s, which the resumed run writes again: a step stands once in the file.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from swav_dali.watch.sinks.base import Event, Record


class JsonlSink:
    """Appends to `folder`/metrics.jsonl and `folder`/events.jsonl."""

    def __init__(self, folder: Path, *, resume_step: int) -> None:
        """Open both files; records of steps after `resume_step` are removed first.

        Raises:
            OSError: the folder cannot be written.
        """
        path = folder / "metrics.jsonl"
        _rewrite(path, [line for line in read_lines(path) if json.loads(line)["step"] <= resume_step])
        self._metrics = path.open("a", encoding="utf-8")
        self._events = (folder / "events.jsonl").open("a", encoding="utf-8")

    def record(self, record: Record) -> None:
        """Append one line to metrics.jsonl."""
        self._metrics.write(json.dumps(record) + "\n")
        self._metrics.flush()

    def event(self, event: Event) -> None:
        """Append one line, with the wall clock, to events.jsonl."""
        self._events.write(json.dumps({"time": round(time.time(), 3), **asdict(event)}) + "\n")
        self._events.flush()

    def close(self) -> None:
        """Close both files."""
        self._metrics.close()
        self._events.close()


def read_lines(path: Path) -> list[str]:
    """The complete lines of a JSONL file; a line cut by a crash is left out, a missing file is empty."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [line for line in lines if line.startswith("{") and line.endswith("}")]


def _rewrite(path: Path, lines: list[str]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
