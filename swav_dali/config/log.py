"""Where a run's figures go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swav_dali.config.checks import at_least

WandbMode = Literal["auto", "online", "offline", "off"]
PicturesMode = Literal["off", "crops", "prototypes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogConfig:
    """Where the figures go; metrics.jsonl is always written."""

    every_steps: int = 50
    """Steps between records; between them nothing is copied from the device."""
    console: bool = True
    """Progress bar on a terminal, plain lines elsewhere."""
    headspace: bool = True
    """Measure at the start, in a few seconds, what the model does when data costs nothing."""
    trace: bool = False
    """When a verdict is told for the first time, keep a profiler trace of the next 20 steps in traces/."""
    report_minutes: float = 5.0
    """Minutes between drawings of report.html, by a process of their own; 0 is off."""
    pictures: PicturesMode = "crops"
    """Drawn into the report: `crops` of the first batch, `prototypes` also their nearest validation pictures at every
    kNN probe, `off` neither."""
    tensorboard: bool = False
    """Write TensorBoard's event files too, into the run folder; needs the package tensorboard."""
    wandb: WandbMode = "auto"
    """`auto` is online where a login is found and offline elsewhere."""
    wandb_project: str = "swav-dali"
    """Project the run is filed under."""
    wandb_tables: bool = False
    """Send the pictures too, as tables: pictures of the data leave this machine."""
    wandb_checkpoints: bool = False
    """Send every checkpoint, as a version of one artifact; the training waits while it is copied aside."""
    wandb_alerts: bool = False
    """Have wandb send a message when the verdict changes or the health shows a symptom."""

    def __post_init__(self) -> None:
        """Refuse a logging interval of zero."""
        at_least("--log.every-steps", self.every_steps, 1)
