"""environment.json of a run folder, as displays read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "environment.json"


def read_environment(folder: Path) -> dict[str, Any]:
    """What the newest start ran on, its keys under `environment.`; empty for runs that do not tell."""
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {f"environment.{key}": value for key, value in told.items()} if isinstance(told, dict) else {}
