"""Which sinks a run has: metrics.jsonl always, the others as configured. Only rank 0 has any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swav_dali.config.saved import flatten
from swav_dali.run.environment import environment, write_environment
from swav_dali.run.folder import write_config
from swav_dali.run.parts import Run
from swav_dali.run.start import set_old_figures_aside
from swav_dali.watch.environment import read_environment
from swav_dali.watch.sinks.base import Event, Sink
from swav_dali.watch.sinks.console import ConsoleSink
from swav_dali.watch.sinks.jsonl import JsonlSink
from swav_dali.watch.sinks.report import ReportSink


class RunReport(ReportSink):
    """A run that was asked to leave has it drawn, but does not wait: it may have seconds until it is killed."""

    _is_leaving = False

    def event(self, event: Event) -> None:
        """Take notice of a stop."""
        super().event(event)
        self._is_leaving = self._is_leaving or event.kind == "stop"

    def close(self, *, failed: bool = False) -> None:
        """See ReportSink."""
        super().close(failed=failed or self._is_leaving)


def open_sinks(run: Run, *, is_new: bool, warnings: list[str]) -> list[Sink]:
    """The sinks of this rank; one that shows what others keep and cannot start is left out, with a warning.

    Raises:
        UserError: the run folder cannot be written.
    """
    config, step = run.config, run.clock.step
    if not run.world.is_main:
        return []
    if is_new:
        set_old_figures_aside(config.folder)
    run_id = write_config(config, is_new=is_new)
    sinks: list[Sink] = [JsonlSink(config.folder, resume_step=-1 if is_new else step)]
    try:
        write_environment(config.folder, environment(run.world))
    except OSError as error:
        warnings.append(f"{config.folder} takes no environment.json: {error}")
    if config.log.console:
        sinks.append(ConsoleSink(total_steps=run.plan.total_steps, start_step=step, epochs=run.plan.epochs))
    if config.log.report_minutes > 0:
        sinks.append(RunReport(config.folder, every_minutes=config.log.report_minutes))
    if config.log.tensorboard:
        start = -1 if is_new else step
        sinks += _if_it_starts(lambda: _open_tensorboard(config.folder, start), "TensorBoard", warnings)
    if config.log.wandb != "off":
        sinks += _if_it_starts(lambda: _open_wandb(run, run_id), "wandb", warnings)
    return sinks


def _if_it_starts(open_sink: Callable[[], Sink], name: str, warnings: list[str]) -> list[Sink]:
    """The sink, or none and a warning: what other people's libraries raise is theirs to name."""
    try:
        return [open_sink()]
    except Exception as error:
        warnings.append(f"{name} is off for this start: {' '.join(str(error).split()) or type(error).__name__}")
        return []


def _open_tensorboard(folder: Path, resume_step: int) -> Sink:
    from swav_dali.watch.sinks.tensorboard import TensorBoardSink  # its import costs a second

    return TensorBoardSink(folder, resume_step=resume_step)


def _open_wandb(run: Run, run_id: str) -> Sink:
    from swav_dali.watch.sinks.wandb import WandbExtras, WandbSink

    config, log = run.config, run.config.log
    return WandbSink(
        config.folder,
        mode=log.wandb,
        project=log.wandb_project,
        name=config.name,
        run_id=run_id,
        config={**flatten(config), **read_environment(config.folder)},
        extras=WandbExtras(tables=log.wandb_tables, checkpoints=log.wandb_checkpoints, alerts=log.wandb_alerts),
    )
