"""The run in Weights & Biases, online or as an offline folder that `wandb sync` uploads later."""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb

from swav_dali.errors import TrainingError
from swav_dali.watch.record import BY_KEY, BY_NAME, grouped_name
from swav_dali.watch.sinks.base import Event, Record


class WandbSink:
    """Logs each record under its training step; resuming keeps the run's id, so the curve goes on."""

    def __init__(
        self, folder: Path, *, mode: str, project: str, name: str, run_id: str, config: Mapping[str, Any]
    ) -> None:
        """Start the run.

        Args:
            folder: the run folder; offline data goes to its wandb/.
            mode: auto | online | offline.
            project: wandb project.
            name: display name.
            run_id: id that stays the same over resumes.
            config: the resolved configuration, flattened or nested.

        Raises:
            TrainingError: wandb cannot start, for instance online without a login.
        """
        resolved = ("online" if login_is_found() else "offline") if mode == "auto" else mode
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                id=run_id,
                dir=folder,
                mode=resolved,  # type: ignore[arg-type]
                resume="allow" if resolved == "online" else None,
                config=dict(config),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except (wandb.Error, OSError) as error:
            raise TrainingError(
                f"wandb cannot start: {error}", where="--log.wandb", found=mode, fix="log in, or use offline | off"
            ) from error
        for key, figure in BY_KEY.items():
            axis = None if key in BY_NAME and figure.group == "Place" else grouped_name(figure.axis)
            self._run.define_metric(grouped_name(key), step_metric=axis)

    def record(self, record: Record) -> None:
        """Log every figure under its group, drawn against its own axis."""
        self._run.log({grouped_name(key): value for key, value in record.items()}, step=int(record["step"]))

    def event(self, event: Event) -> None:
        """Keep the newest event of each kind in the run's summary."""
        self._run.summary[f"event/{event.kind}"] = event.text

    def close(self, *, failed: bool = False) -> None:
        """Flush and end the wandb run, as failed or finished."""
        self._run.finish(exit_code=int(failed))


def login_is_found() -> bool:
    """Whether wandb has a key: from the environment or its settings, or from the netrc file."""
    settings = wandb.setup().settings
    if settings.api_key:
        return True
    try:
        return netrc.netrc().authenticators(urlparse(settings.base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
