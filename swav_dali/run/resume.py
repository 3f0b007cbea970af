"""Continuing a run: which checkpoint, whether it may be continued, and what is restored.

Same ranks: every part is restored and the next step has the same bits. Another number of ranks: weights, optimizer
and queue are kept, the interrupted epoch starts again, and the log says so. Any other difference is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swav_dali.config.saved import flatten
from swav_dali.config.sections import RunConfig
from swav_dali.errors import CheckpointError
from swav_dali.method.queue import merge_queue_states
from swav_dali.ranks.world import World, from_main
from swav_dali.run.checkpoint import CheckpointMeta, find_checkpoints, load_meta, load_parts
from swav_dali.run.folder import refuse_other_config
from swav_dali.run.parts import Run
from swav_dali.watch.sinks.base import Event


@dataclass(frozen=True, slots=True)
class Start:
    """The checkpoint to continue from."""

    folder: Path
    meta: CheckpointMeta


def find_start(config: RunConfig, world: World) -> Start | None:
    """The checkpoint that --resume names, or None for a new run.

    Raises:
        CheckpointError: --resume never on a run that exists, a path that is no checkpoint, or other options.
    """
    chosen = from_main(_name(_choose_folder(config)) if world.is_main else None)
    if chosen is None:
        return None
    folder = Path(chosen)
    start = Start(folder, load_meta(folder))
    world_changed = start.meta.world_size != world.size
    refuse_other_config(start.meta.config, flatten(config), where=folder, world_changed=world_changed)
    return start


def _name(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)


def _choose_folder(config: RunConfig) -> Path | None:
    """Only rank 0 looks: on a network file system ranks may see different folders for a while."""
    if isinstance(config.resume, Path):
        return config.resume
    complete = find_checkpoints(config.folder / "checkpoints")
    if config.resume == "never" and (complete or (config.folder / "config.json").exists()):
        found = complete[-1].name if complete else "a run without a checkpoint"
        raise CheckpointError(
            "the run exists", where=config.folder, found=found, fix="choose another --name, or --resume auto"
        )
    return complete[-1] if complete else None


def continue_run(run: Run, start: Start) -> Event:
    """Restore `run` from `start` and tell how.

    Raises:
        CheckpointError, LoaderStateError: a part does not fit; nothing on disk has been touched.
    """
    saved = load_parts(start.folder, "shared.pt")
    for name, part in run.shared().items():
        if name in saved:  # a probe may be new: it measures its floors again
            part.load_state_dict(saved[name])
    if start.meta.world_size == run.world.size:
        return _restore_rank(run, start)
    return _restart_epoch(run, start)


def _restore_rank(run: Run, start: Start) -> Event:
    saved = load_parts(start.folder, f"rank-{run.world.rank:05d}.pt")
    for name, part in run.per_rank().items():
        part.load_state_dict(saved[name])
    return Event("resume", run.clock.step, f"resumed {start.folder}: the next step is {run.clock.step + 1}")


def _restart_epoch(run: Run, start: Start) -> Event:
    saved = [load_parts(start.folder, f"rank-{rank:05d}.pt") for rank in range(start.meta.world_size)]
    run.services.loader.refuse_other_data(saved[0]["loader"])
    if run.parts.queue is not None:
        run.parts.queue.load_state_dict(merge_queue_states([parts["queue"] for parts in saved], run.world))
    run.services.loader.start_epoch(start.meta.epoch)
    run.clock.step = start.meta.epoch * run.plan.steps_per_epoch
    return Event(
        "resume",
        run.clock.step,
        f"resumed {start.folder} on {run.world.size} ranks instead of {start.meta.world_size}: "
        f"epoch {start.meta.epoch + 1} starts again, the order of its images is new",
    )
