"""Continuing a run: what is restored from its checkpoint; swav_dali.run.start says from which one.

Same ranks: every part is restored and the next step has the same bits. Another number of ranks: weights, optimizer
and queue are kept, the interrupted epoch starts again, and the log says so. Any other difference is an error.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from swav_dali.method.queue import merge_queue_states
from swav_dali.run.checkpoint import CheckpointMeta, load_parts, rank_file
from swav_dali.run.folder import renumber_figures
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
    is_same_world = meta.world_size == run.world.size
    event = _restore_rank(run, folder) if is_same_world else _restart_epoch(run, folder, meta)
    return replace(event, text=event.text + _longer(run, meta))


def _longer(run: Run, meta: CheckpointMeta) -> str:
    """What a larger --optim.epochs means for the rest of the run."""
    old, new, done = meta.config.get("optim.epochs", run.plan.epochs), run.plan.epochs, run.clock.step
    if old == new or done >= run.plan.total_steps:
        return ""
    rates = replace(run.plan, optim=replace(run.plan.optim, epochs=old)).learning_rates
    had = f"where that of {old} had {rates[done]:.4g}" if done < len(rates) else f"and that of {old} had ended"
    return (
        f"; --optim.epochs {old} -> {new}: the rest of the run follows the learning rates of {new} epochs, "
        f"{run.plan.learning_rates[done]:.4g} now {had}"
    )


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
    place, old_step = saved[0]["loader"], run.clock.step
    run.clock.step = meta.epoch * run.plan.steps_per_epoch
    if run.world.is_main:
        done = place["epoch"]
        old_steps = (old_step - place["step_in_epoch"]) // done if done else old_step
        renumber_figures(run.config.folder, epochs=meta.epoch, old_steps=old_steps, new_steps=run.plan.steps_per_epoch)
    return Event(
        "resume",
        run.clock.step,
        f"resumed {folder} on {run.world.size} ranks instead of {meta.world_size}: "
        f"epoch {meta.epoch + 1} starts again, the order of its images is new",
    )
