"""Continuing a run: what is restored from its checkpoint; swav_dali.run.start says from which one.

Same ranks: every part is restored and the next step has the same bits. Another number of ranks: weights, optimizer
and queue are kept, the interrupted epoch starts again, and the log says so. Any other difference is an error.
"""

from __future__ import annotations

from pathlib import Path

from swav_dali.method.queue import merge_queue_states
from swav_dali.run.checkpoint import CheckpointMeta, load_parts, rank_file
from swav_dali.run.parts import Run
from swav_dali.watch.sinks.base import Event


def continue_run(run: Run, folder: Path, meta: CheckpointMeta) -> Event:
    """Restore `run` from the checkpoint in `folder` and tell how.

    Raises:
        CheckpointError, LoaderStateError: a part does not fit; nothing on disk has been touched.
    """
    saved = load_parts(folder, "shared.pt")
    for name, part in run.shared().items():
        if name in saved:  # a probe may be new: it measures its floors again
            part.load_state_dict(saved[name])
    if meta.world_size == run.world.size:
        return _restore_rank(run, folder)
    return _restart_epoch(run, folder, meta)


def _restore_rank(run: Run, folder: Path) -> Event:
    saved = load_parts(folder, rank_file(run.world.rank))
    for name, part in run.per_rank().items():
        part.load_state_dict(saved[name])
    return Event("resume", run.clock.step, f"resumed {folder}: the next step is {run.clock.step + 1}")


def _restart_epoch(run: Run, folder: Path, meta: CheckpointMeta) -> Event:
    saved = [load_parts(folder, rank_file(rank)) for rank in range(meta.world_size)]
    run.services.loader.refuse_other_data(saved[0]["loader"])
    if run.parts.queue is not None:
        run.parts.queue.load_state_dict(merge_queue_states([parts["queue"] for parts in saved], run.world))
    run.services.loader.start_epoch(meta.epoch)
    run.clock.step = meta.epoch * run.plan.steps_per_epoch
    return Event(
        "resume",
        run.clock.step,
        f"resumed {folder} on {run.world.size} ranks instead of {meta.world_size}: "
        f"epoch {meta.epoch + 1} starts again, the order of its images is new",
    )
