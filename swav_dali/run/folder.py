"""The run folder's own files: config.json, and what a saved configuration may differ in when a run goes on.

metrics.jsonl and events.jsonl belong to swav_dali.watch.sinks.jsonl, checkpoints/ to swav_dali.run.checkpoint.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swav_dali.config.sections import RunConfig
from swav_dali.errors import CheckpointError

# None of these changes a bit of the training: names and places, what is watched and kept. The content of the
# shards is compared by the loader, by fingerprint, so their path may change.
_FREE = (
    "name",
    "runs_dir",
    "device",
    "resume",
    "data.train",
    "data.validation",
    "data.loader.",
    "checkpoint.",
    "log.",
    "knn.",
)


def flatten(config: RunConfig) -> dict[str, Any]:
    """The configuration as one level of dotted keys and JSON values."""
    return dict(_walk("", json.loads(json.dumps(asdict(config), default=str))))


def refuse_other_config(saved: dict[str, Any], present: dict[str, Any], *, where: Path, world_changed: bool) -> None:
    """Raise CheckpointError naming every key, old and new value, that keeps the run from going on.

    Args:
        saved: flattened configuration of the checkpoint.
        present: flattened configuration of this start.
        where: the checkpoint folder.
        world_changed: with another number of ranks the batch per rank may change too.
    """
    free = (*_FREE, "data.batch_size") if world_changed else _FREE
    saved = _in_words_of_today(saved, present)
    keys = sorted(saved.keys() | present.keys())
    differing = [
        f"{_flag(key)} {saved.get(key)} -> {present.get(key)}"
        for key in keys
        if saved.get(key) != present.get(key) and not key.startswith(free)
    ]
    if differing:
        raise CheckpointError(
            "the run was started with other options",
            where=where,
            found="; ".join(differing),
            fix="repeat the old options, or start another run with --name",
        )


def _in_words_of_today(saved: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """`saved` with what made the crops, which earlier versions said by quality and device.

    The device is free to differ and the loader compares it; so `exact` is what makes exact crops here.
    """
    if "data.quality" not in saved:
        return saved
    here = present["data.crops_by"]
    crops_by = "dali" if saved["data.quality"] == "fast" else "cpu" if here == "dali" else here
    return {**{key: value for key, value in saved.items() if key != "data.quality"}, "data.crops_by": crops_by}


def write_config(config: RunConfig, *, is_new: bool) -> str:
    """Write config.json into the run folder and return the run's id, the same over resumes.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    path = config.folder / "config.json"
    run_id = read_run_id(path) if not is_new and path.exists() else secrets.token_hex(4)
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"run_id": run_id, **flatten(config)}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError("the run folder cannot be written", where="--runs-dir", found=error) from error
    temporary.replace(path)
    return run_id


def read_run_id(path: Path) -> str:
    """The id in a config.json."""
    return str(json.loads(path.read_text(encoding="utf-8"))["run_id"])


def _walk(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        children = ((str(index), item) for index, item in enumerate(value))  # type: ignore[assignment]
    else:
        return [(prefix, value)]
    return [pair for key, child in children for pair in _walk(f"{prefix}.{key}" if prefix else key, child)]


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")
