"""Which checkpoint a run continues from, if any, and why not from a newer one.

With --resume auto it is the newest whose every byte is what was written; the others are named. A run that had
checkpoints and has none left is not started over unless --resume never says so; one that was stopped before its first
checkpoint is, and its figures are set aside.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from swav_dali.config.length import adopt
from swav_dali.config.saved import flatten
from swav_dali.config.sections import RunConfig
from swav_dali.errors import CheckpointError
from swav_dali.ranks.group import from_main
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import CheckpointMeta, check_checkpoint, load_meta, step_folders
from swav_dali.run.folder import refuse_other_config
from swav_dali.run.versions import changed_versions, refuse_other_dali
from swav_dali.watch.pictures import FOLDER as PICTURES
from swav_dali.watch.sinks.jsonl import read_lines

_MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins.

    Attributes:
        folder: the checkpoint to continue from, or the run folder.
        meta: the checkpoint's meta.json; None to begin at step 0.
        warnings: what a person should not miss about this choice.
        notes: what else is said at the start.
    """

    folder: Path
    meta: CheckpointMeta | None = None
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether the run begins at step 0."""
        return self.meta is None

    def told(self) -> tuple[str, bool, list[str]]:
        """This choice in words, for the other ranks."""
        return str(self.folder), self.is_new, self.warnings


def find_start(config: RunConfig, world: World, given: Collection[str]) -> tuple[Start, RunConfig]:
    """The checkpoint that --resume names, or the beginning, and the configuration to go on with; collective.

    The configuration is `config`, but what follows the length of a run stays what it was when the run began, unless
    the command line has `given` it.

    Raises:
        CheckpointError: --resume never on a run that can go on, no sound checkpoint where there were some, a path that
            is no checkpoint, other options, or another DALI where the same bits are promised.
    """
    folder, is_new, warnings = from_main(_choose(config).told() if world.is_main else ("", True, []))
    start = Start(Path(folder), None if is_new else load_meta(Path(folder)), warnings)
    if start.meta is None:
        return start, config
    config = adopt(config, start.meta.config, given)
    world_changed = start.meta.world_size != world.size
    refuse_other_config(start.meta.config, flatten(config), where=start.folder, world_changed=world_changed)
    if not world_changed:
        refuse_other_dali(start.meta.versions, where=start.folder)
    start.warnings.extend(changed_versions(start.meta.versions))
    return start, config


def _choose(config: RunConfig) -> Start:
    """Only rank 0 looks: on a network file system ranks may see different folders for a while."""
    if isinstance(config.resume, Path):
        return Start(config.resume, check_checkpoint(config.resume))
    damaged: list[str] = []
    for folder in reversed(step_folders(config.folder / "checkpoints")):
        try:
            meta = check_checkpoint(folder)
        except CheckpointError as error:
            damaged.append(f"skipped {folder.name}: {_reason(error, folder)}")
            continue
        if config.resume == "never":
            raise CheckpointError(
                "the run exists", where=config.folder, found=folder.name, fix="choose another --name, or --resume auto"
            )
        return Start(folder, meta, damaged)
    return _start_at_the_beginning(config, damaged)


def _start_at_the_beginning(config: RunConfig, damaged: list[str]) -> Start:
    last_step = _last_step(config.folder)
    had_checkpoints = bool(damaged) or _ever_saved(config.folder)
    if last_step is None and not had_checkpoints:
        return Start(config.folder)
    if had_checkpoints and config.resume != "never":
        raise CheckpointError(
            "the run has no checkpoint left that can be continued",
            where=config.folder,
            found=_first(damaged) or f"figures up to step {last_step}, and its checkpoints are gone",
            fix="start it over with --resume never, or start another run with --name",
        )
    why = "as --resume never asks" if had_checkpoints else "it was stopped before its first checkpoint"
    said = f"starting over, {why}; its figures up to step {last_step or 0} are now in metrics.old.jsonl"
    return Start(config.folder, warnings=[*damaged, said])


def _reason(error: CheckpointError, folder: Path) -> str:
    """What is wrong with the checkpoint in `folder`, without its path and without advice."""
    text = str(error).removesuffix(f"; {error.fix}")
    return text.removeprefix(f"{folder}: ").removeprefix(f"{folder}/")


def _first(reasons: list[str]) -> str:
    more = [f"{len(reasons) - _MOST_REASONS} more"] if len(reasons) > _MOST_REASONS else []
    return "; ".join([*reasons[:_MOST_REASONS], *more])


def set_old_figures_aside(folder: Path) -> None:
    """Keep the figures of a run that starts over beside those of the new one; its pictures are drawn again."""
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    path = folder / "metrics.jsonl"
    if path.exists():
        path.replace(folder / "metrics.old.jsonl")


def _last_step(folder: Path) -> int | None:
    """The last step with figures, or None for a run that has none."""
    steps = [json.loads(line).get("step") for line in read_lines(folder / "metrics.jsonl")]
    return max((step for step in steps if isinstance(step, int)), default=None)


def _ever_saved(folder: Path) -> bool:
    """Whether a checkpoint was written since the run last started at step 0."""
    saved = False
    for event in map(json.loads, read_lines(folder / "events.jsonl")):
        is_beginning = event.get("kind") == "start" and event.get("step") == 0
        saved = event.get("kind") == "checkpoint" or (saved and not is_beginning)
    return saved
