"""The JSON file: what has been found so far, rewritten whole after every figure, so that a kill loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from shards.host.atomic import write_whole

SCHEMA = 2
MOST_TRIES = 2
"""How often a figure that kills or outlives its process is begun, over all runs."""
Status = Literal["begun", "ok", "failed", "timed out", "crashed", "no time left"]


class Record:
    """Figures by name, each with status, seconds, tries, version of the sources, and a value or an error."""

    def __init__(self, path: Path, setting: dict[str, Any], sources: str) -> None:
        """Take over what `path` holds, if it was found in the same setting; else it stays beside as PATH.old.

        `sources` tells versions of the code apart: what failed is tried again by another one.
        """
        self._path, self._setting, self._sources = path, setting, sources
        self.figures: dict[str, dict[str, Any]] = {}
        self.sentences: list[str] = []
        kept = _read(path)
        if kept is not None and (kept.get("schema"), kept.get("setting")) == (SCHEMA, setting):
            self.figures = kept["figures"]
        elif path.exists():
            path.replace(path.with_name(f"{path.name}.old"))

    def is_settled(self, name: str) -> bool:
        """Whether there is nothing to gain from another try."""
        figure = self.figures.get(name)
        if figure is None:
            return False
        is_new_code = figure["sources"] != self._sources
        if figure["status"] == "ok":
            return True
        return not is_new_code and (figure["status"] == "failed" or figure["tries"] >= MOST_TRIES)

    def begin(self, name: str) -> None:
        """Note that a figure is under way, for a start after a kill."""
        figure = self.figures.get(name, {})
        tries = figure.get("tries", 0) if figure.get("sources") == self._sources else 0
        self.figures[name] = {"status": "begun", "seconds": 0.0, "tries": tries + 1, "sources": self._sources}
        self.write()

    def put(self, name: str, status: Status, seconds: float, found: dict[str, Any]) -> None:
        """Add one figure and write the file; `found` holds `value`, or `error` and `trace`."""
        tries = self.figures.get(name, {}).get("tries", 0)
        begun = {"status": status, "seconds": round(seconds, 1), "tries": tries, "sources": self._sources}
        self.figures[name] = {**begun, **found}
        self.write()

    def value(self, name: str) -> Any:
        """The value of a figure that was found, else None."""
        figure = self.figures.get(name, {})
        return figure.get("value") if figure.get("status") == "ok" else None

    def write(self) -> None:
        """Write everything; the file is the old one or the new one, never a part."""
        body = {"schema": SCHEMA, "setting": self._setting, "figures": self.figures, "sentences": self.sentences}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, (json.dumps(body, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None
