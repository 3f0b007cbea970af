"""The run folder's own files: config.json, and what a saved configuration may differ in when a run goes on.

metrics.jsonl and events.jsonl belong to swav_dali.watch.sinks.jsonl, checkpoints/ to swav_dali.run.checkpoint.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from shards.host.atomic import write_whole
from swav_dali.config.saved import differences, flatten, way_back
from swav_dali.config.sections import RunConfig
from swav_dali.errors import CheckpointError
from swav_dali.run.checkpoint import find_checkpoints
from swav_dali.watch.sinks.jsonl import read_lines, sole_writer


def refuse_other_config(saved: dict[str, Any], present: dict[str, Any], *, where: Path, world_changed: bool) -> None:
    """Raise CheckpointError naming every key, old and new value, that keeps the run from going on.

    Args:
        saved: flattened configuration of the checkpoint.
        present: flattened configuration of this start.
        where: the checkpoint folder.
        world_changed: with another number of ranks the batch per rank may change too.
    """
    differing = differences(saved, present, world_changed=world_changed)
    if differing:
        back = way_back(saved, present, world_changed=world_changed)
        raise CheckpointError(
            "the run was started with other options",
            where=where,
            found="; ".join(differing),
            fix=(f"go on as it began: the same command with {back}; or " if back else "")
            + f"start another run: with --name {present['name']}-2",
        )


def write_config(config: RunConfig, *, is_new: bool) -> str:
    """Write config.json into the run folder, whole or not at all; the run's id, the same over resumes.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    path = config.folder / "config.json"
    run_id = (None if is_new else read_run_id(path)) or secrets.token_hex(4)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps({"run_id": run_id, **flatten(config)}, indent=1) + "\n").encode())
    except OSError as error:
        raise CheckpointError("the run folder cannot be written", where="--runs-dir", found=error) from error
    return run_id


def way_on(config: RunConfig) -> str:
    """What to run after the weights of `config` were lost: from the newest checkpoint, whose weights are finite."""
    saved = find_checkpoints(config.folder / "checkpoints")
    init = f" --init {saved[-1]}" if saved else ""
    rate = f"--optim.base-lr {config.optim.base_lr / 2:g}"
    return (
        f"start another run: the same command with --name {config.name}-2{init} {rate}, or with a higher --swav.epsilon"
    )


def renumber_figures(folder: Path, *, epochs: int, old_steps: int, new_steps: int) -> None:
    """Give the figures of whole epochs the step numbers of epochs of another length, and drop those of a broken one.

    Args:
        folder: the run folder.
        epochs: whole epochs done, which keep their figures.
        old_steps: steps of an epoch so far.
        new_steps: steps of an epoch from now on.
    """
    path = folder / "metrics.jsonl"
    kept: dict[tuple[int, bool], dict[str, Any]] = {}
    with sole_writer(folder):
        for record in map(json.loads, read_lines(path)):
            step, epoch = record.get("step"), record.get("epoch")
            if isinstance(step, int) and isinstance(epoch, int) and epoch <= epochs:
                moved = round(step * new_steps / old_steps)
                place = moved, "loss" in record
                kept[place] = {**kept.get(place, {}), **record, "step": moved}
        write_whole(path, "".join(json.dumps(record) + "\n" for record in kept.values()).encode())


def read_run_id(path: Path) -> str | None:
    """The id in a config.json; None if it holds none, because it is missing, cut or not what was written."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = saved.get("run_id") if isinstance(saved, dict) else None
    return found if isinstance(found, str) else None
