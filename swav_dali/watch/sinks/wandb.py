"""The run in Weights & Biases, online or as an offline folder that `wandb sync` uploads later."""

from __future__ import annotations

import contextlib
import netrc
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

import wandb

from swav_dali.errors import TrainingError
from swav_dali.watch.record import BY_KEY, BY_NAME, grouped_name
from swav_dali.watch.sinks.base import Event, Record, SinkNotice

ANSWER_SECONDS, INIT_SECONDS, FINISH_SECONDS = 5.0, 10.0, 8.0


class WandbSink:
    """Logs each record under its training step; resuming keeps the run's id, so the curve goes on."""

    def __init__(
        self, folder: Path, *, mode: str, project: str, name: str, run_id: str, config: Mapping[str, Any]
    ) -> None:
        """Start the run.

        Args:
            folder: the run folder; offline data goes to its wandb/.
            mode: online | offline.
            project: wandb project.
            name: display name.
            run_id: id that stays the same over resumes.
            config: the resolved configuration, flattened or nested.

        Raises:
            TrainingError: online without a login. A server that does not answer is no error: the run is offline then.
        """
        # or its own statistics hold the end of a run up for 15 s where there is no network
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        start = partial(_start, folder, project=project, name=name, run_id=run_id, config=dict(config))
        self._notice = ""
        if mode == "online" and not login_is_found():
            raise TrainingError(
                "wandb has no login", where="--log.wandb", found=mode, fix="log in, or use offline | off"
            )
        try:
            self._run = start(is_online=False) if mode == "offline" else _start_online(start)
        except (wandb.Error, OSError) as error:
            wandb.teardown()  # or the run's id is still in use
            self._run = start(is_online=False)
            why = " ".join(str(error).split())
            self._notice = f"wandb is offline for this start, upload it later with wandb sync: {why}"
        for key, figure in BY_KEY.items():
            axis = None if key in BY_NAME and figure.group == "Place" else grouped_name(figure.axis)
            self._run.define_metric(grouped_name(key), step_metric=axis)

    @property
    def next_step(self) -> int:
        """The first step that the run takes: what an online run has already is not taken twice."""
        return int(self._run.step)

    def record(self, record: Record) -> None:
        """Log every figure under its group, drawn against its own axis."""
        with _gone_for_good():
            self._run.log({grouped_name(key): value for key, value in record.items()}, step=int(record["step"]))

    def event(self, event: Event) -> None:
        """Keep the newest event of each kind in the run's summary."""
        with _gone_for_good():
            self._run.summary[f"event/{event.kind}"] = event.text
        notice, self._notice = self._notice, ""
        if notice:
            raise SinkNotice(notice)

    def close(self, *, failed: bool = False) -> None:
        """Flush and end the wandb run, as failed or finished; gives up on a server after FINISH_SECONDS."""
        with _gone_for_good():
            self._run.finish(exit_code=int(failed))


def _start_online(start: Callable[..., wandb.Run]) -> wandb.Run:
    """Raises OSError within seconds when no server answers, for which wandb itself would try for minutes."""
    address = wandb.setup().settings.base_url
    try:
        urlopen(address, timeout=ANSWER_SECONDS).close()
    except HTTPError:  # an answer
        pass
    except OSError as error:
        raise OSError(f"{address} does not answer ({getattr(error, 'reason', error)})") from error
    return start(is_online=True)


def _start(folder: Path, *, project: str, name: str, run_id: str, config: dict[str, Any], is_online: bool) -> wandb.Run:
    return wandb.init(
        project=project,
        name=name,
        id=run_id,
        dir=folder,
        mode="online" if is_online else "offline",
        resume="allow" if is_online else None,
        config=config,
        settings=wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS, finish_timeout=FINISH_SECONDS),
    )


@contextlib.contextmanager
def _gone_for_good() -> Iterator[None]:
    """When wandb's own process has died, its clean-up at the end of ours would fail once more, with a traceback."""
    try:
        yield
    except ConnectionError:
        with contextlib.suppress(ConnectionError):
            wandb.teardown()
        raise


def login_is_found() -> bool:
    """Whether wandb has a key: from the environment or its settings, or from the netrc file."""
    settings = wandb.setup().settings
    # wandb reads the environment once a process, so its settings may be older than the key
    if settings.api_key or os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(urlparse(settings.base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
