"""Continuing a run: which checkpoint, whether it may be continued, and what is restored.

Same ranks: every part is restored and the next step has the same bits. Another number of ranks: weights, optimizer
and queue are kept, the interrupted epoch starts again, and the log says so. Any other difference is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swav_dali.checkpoint import CheckpointMeta, find_checkpoints, load_meta, load_parts
from swav_dali.config import RunConfig
from swav_dali.errors import CheckpointError
from swav_dali.loop import Run
from swav_dali.queue import merge_queue_states
from swav_dali.run_folder import flatten, refuse_other_config
from swav_dali.sinks.base import Event
from swav_dali.world import World


@dataclass(frozen=True, slots=True)
class Start:
    """The checkpoint to continue from."""

    folder: Path
    meta: CheckpointMeta


def find_start(config: RunConfig, world: World) -> Start | None:
    """The checkpoint that --resume names, or None for a new run.

    Raises:
        CheckpointError: --resume never on a run that has checkpoints, a path that is none, or other options.
    """
    complete = find_checkpoints(config.folder / "checkpoints")
    if config.resume == "never" and complete:
        raise CheckpointError(
            "the run exists",
            where=config.folder,
            found=complete[-1].name,
            fix="choose another --name, or --resume auto",
        )
    if isinstance(config.resume, Path):
        folder = config.resume
    elif complete:
        folder = complete[-1]
    else:
        return None
    start = Start(folder, load_meta(folder))
    world_changed = start.meta.world_size != world.size
    refuse_other_config(start.meta.config, flatten(config), where=folder, world_changed=world_changed)
    return start


def continue_run(run: Run, start: Start) -> None:
    """Restore `run` from `start`; raises CheckpointError or LoaderStateError when a part does not fit."""
    saved = load_parts(start.folder, "shared.pt")
    for name, part in run.shared.items():
        part.load_state_dict(saved[name])
    if start.meta.world_size == run.world.size:
        _restore_rank(run, start)
    else:
        _restart_epoch(run, start)


def _restore_rank(run: Run, start: Start) -> None:
    saved = load_parts(start.folder, f"rank-{run.world.rank:05d}.pt")
    for name, part in run.per_rank.items():
        part.load_state_dict(saved[name])
    run.sinks.event(Event("resume", run.clock.step, f"resumed {start.folder}: the next step is {run.clock.step + 1}"))


def _restart_epoch(run: Run, start: Start) -> None:
    if run.queue is not None:
        ranks = range(start.meta.world_size)
        states = [load_parts(start.folder, f"rank-{rank:05d}.pt")["queue"] for rank in ranks]
        run.queue.load_state_dict(merge_queue_states(states, run.world))
    run.loader.start_epoch(start.meta.epoch)
    run.clock.step = start.meta.epoch * run.plan.steps_per_epoch
    run.sinks.event(
        Event(
            "resume",
            run.clock.step,
            f"resumed {start.folder} on {run.world.size} ranks instead of {start.meta.world_size}: "
            f"epoch {start.meta.epoch + 1} starts again, the order of its images is new",
        )
    )
