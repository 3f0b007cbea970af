"""The run in Weights & Biases, online or as an offline folder that `wandb sync` uploads later."""

from __future__ import annotations

import contextlib
import json
import netrc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

import wandb

from swav_dali.watch.pictures import read_gallery
from swav_dali.watch.record import BY_KEY, BY_NAME, Figure, grouped_name
from swav_dali.watch.sinks.base import Event, Record, SinkNotice

ANSWER_SECONDS, INIT_SECONDS, FINISH_SECONDS = 5.0, 10.0, 5.0
_WAY_ON = "`python -m swav_dali wandb RUN --mode online` sends what is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbExtras:
    """What is sent besides figures and events.

    Attributes:
        tables: the galleries of swav_dali.watch.pictures, as tables: pictures of the training set leave the machine.
        checkpoints: every checkpoint, as a version of one artifact.
        alerts: a message when the verdict changes or a symptom shows.
    """

    tables: bool = False
    checkpoints: bool = False
    alerts: bool = False


class WandbSink:
    """Logs each record under its training step; resuming keeps the run's id, so the curve goes on."""

    def __init__(
        self,
        folder: Path,
        *,
        mode: str,
        project: str,
        name: str,
        run_id: str,
        config: Mapping[str, Any],
        extras: WandbExtras | None = None,
    ) -> None:
        """Start the run; without a login, or a server that answers, it is offline, which the first event tells.

        Args:
            folder: the run folder; offline data goes to its wandb/.
            mode: online | offline.
            project: wandb project.
            name: display name.
            run_id: id that stays the same over resumes.
            config: the resolved configuration, flattened or nested.
            extras: what is sent besides figures and events; None is nothing.

        Raises:
            wandb.Error, OSError: not even an offline folder can be made.
        """
        # or its own statistics hold the end of a run up for 15 s where there is no network
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        start = partial(_start, folder, project=project, name=name, run_id=run_id, config=dict(config))
        self._run_id, self._extras, self._notice = run_id, extras or WandbExtras(), ""
        self._has_verdict = False
        try:
            self._run = start(is_online=False) if mode == "offline" else _start_online(start)
        except (wandb.Error, OSError) as error:
            wandb.teardown()  # or the run's id is still in use
            self._run = start(is_online=False)
            why = " ".join(str(error).split())
            self._notice = f"wandb is offline for this start, upload it later with wandb sync: {why}"
        for key, figure in BY_KEY.items():
            self._define(key, figure)

    @property
    def next_step(self) -> int:
        """The first step that the run takes: what an online run has already is not taken twice."""
        return max(int(self._run.step), int(self._run.starting_step))

    def record(self, record: Record) -> None:
        """Log every figure under its group, drawn against its own axis."""
        with _gone_for_good():
            self._run.log({grouped_name(key): value for key, value in record.items()}, step=int(record["step"]))

    def event(self, event: Event) -> None:
        """Keep the newest event of each kind in the run's summary, and send what the extras ask for."""
        with _gone_for_good():
            self._run.summary[f"event/{event.kind}"] = event.text
            self._send_extras(event)
        notice, self._notice = self._notice, ""
        if notice:
            raise SinkNotice(notice)

    def summarize(self, told: Mapping[str, Sequence[float]]) -> None:
        """Put figures into the run's summary, whatever steps it has; every value of each, oldest first."""
        with _gone_for_good():
            for key, values in told.items():
                best = BY_KEY[key].best
                extreme = {"min": min(values), "max": max(values)}
                plain = {best: extreme[best], "last": values[-1]} if best in extreme else values[-1]
                self._run.summary[grouped_name(key)] = plain

    def close(self, *, failed: bool = False) -> None:
        """Flush and end the wandb run, as failed or finished.

        wandb keeps to its own time limit only where nothing else is waiting for the server, so it is given a little
        more and then its process is killed: what has not been sent lies in the run folder.

        Raises:
            OSError: not everything has been uploaded; says what sends the rest.
        """
        failures: list[Exception] = []
        ending = threading.Thread(target=self._finish, args=(int(failed), failures), daemon=True)
        ending.start()
        ending.join(FINISH_SECONDS + 1)
        if ending.is_alive() or any(isinstance(failure, TimeoutError) for failure in failures):
            _kill_service()
            ending.join(1)
            raise OSError(f"no answer within {FINISH_SECONDS:.0f} s: {_WAY_ON}")
        if failures:
            raise failures[0]

    def _finish(self, exit_code: int, failures: list[Exception]) -> None:
        try:
            with _gone_for_good():
                self._run.finish(exit_code=exit_code)
        except Exception as failure:
            failures.append(failure)

    def _define(self, key: str, figure: Figure) -> None:
        """A figure's axis and what the summary keeps of it; axes are not drawn themselves."""
        is_axis = key in BY_NAME and figure.group == "Place"
        self._run.define_metric(
            grouped_name(key),
            step_metric=None if is_axis else grouped_name(figure.axis),
            step_sync=False,  # every record says where it stands
            hidden=is_axis or None,
            summary=None if figure.best == "last" else f"{figure.best},last",
        )

    def _send_extras(self, event: Event) -> None:
        """What cannot be read or copied any more is left out; the next event says so."""
        try:
            if event.kind == "pictures" and self._extras.tables:
                self._log_table(Path(event.path), event.step)
            elif event.kind == "checkpoint" and self._extras.checkpoints:
                self._log_checkpoint(Path(event.path))
        except (OSError, ValueError) as error:
            if isinstance(error, ConnectionError):
                raise
            self._notice = f"not sent to wandb: {event.text}: {error}"
        if self._extras.alerts and (event.kind == "health" or (event.kind == "verdict" and self._has_verdict)):
            self._run.alert(f"{event.kind} at step {event.step}", event.text, level="WARN")
        self._has_verdict = self._has_verdict or event.kind == "verdict"

    def _log_table(self, path: Path, step: int) -> None:
        gallery = read_gallery(path)
        rows = [[row.caption, wandb.Image(row.picture(), file_type="jpg")] for row in gallery.rows]
        table = wandb.Table(columns=["what", "pictures"], data=rows)
        self._run.log({f"Pictures/{gallery.name}": table}, step=step)

    def _log_checkpoint(self, folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        told = {key: meta[key] for key in ("step", "epoch", "world_size", "files")}  # files: bytes and sha256
        artifact = wandb.Artifact(f"{self._run_id}-checkpoint", type="model", metadata=told)
        for path in sorted(folder.iterdir()):
            artifact.add_file(str(path), skip_cache=True)
        self._run.log_artifact(artifact, aliases=["latest", folder.name])


def _start_online(start: Callable[..., wandb.Run]) -> wandb.Run:
    """Raises OSError without a login, and within seconds when no server answers: wandb would try for minutes."""
    if not login_is_found():
        raise OSError("there is no login")
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
        settings=wandb.Settings(
            silent=True,
            console="off",
            init_timeout=INIT_SECONDS,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
        ),
    )


@contextlib.contextmanager
def _gone_for_good() -> Iterator[None]:
    """When wandb's own process has died, it is not used again."""
    try:
        yield
    except ConnectionError:
        _tear_down()
        raise


def _kill_service() -> None:
    """End wandb's own process, which is a child of this one: at our exit wandb would wait for it without a limit."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # others come and go meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"wandb-core" in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
    _tear_down()


def _tear_down() -> None:
    """Without it wandb's own clean-up at our exit fails with a traceback; it calls sys.exit where its process died."""
    with contextlib.suppress(ConnectionError, SystemExit):
        wandb.teardown()


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
