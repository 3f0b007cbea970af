"""metrics.jsonl into one wandb run, as often as one likes.

A run that was resumed leaves one offline folder for every start, all of one id, and each that is uploaded overwrites
the one before; metrics.jsonl holds every step once. So one folder with everything takes their place; the others are
kept beside it under names that `wandb sync` does not look for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from swav_dali.errors import ConfigError
from swav_dali.watch.environment import read_environment
from swav_dali.watch.pictures import galleries
from swav_dali.watch.record import BY_KEY
from swav_dali.watch.sinks.base import Event, Record, SinkNotice
from swav_dali.watch.sinks.jsonl import read_lines
from swav_dali.watch.sinks.wandb import WandbExtras, WandbSink, login_is_found

_OFFLINE = "offline-run-*"


def replay(folder: Path, *, mode: str, project: str | None = None, tables: bool = False) -> int:
    """Send a run's records and newest events to wandb under the run's own id; returns how many steps were sent.

    Offline, the run's earlier offline folders are set aside. Online, steps that the run has already are left out.

    Args:
        folder: of the run; its process may still be writing.
        mode: online | offline.
        project: wandb project, None for the one the run was started with.
        tables: whether the run's pictures are sent too.

    Raises:
        ConfigError: it is no run folder, or online without a login.
        SinkNotice: the server does not answer, so what was written is an offline folder.
    """
    config = read_config(folder)
    if mode == "online" and not login_is_found():
        raise ConfigError("wandb has no login", where="--mode", found=mode, fix="log in, or use offline")
    earlier = sorted((folder / "wandb").glob(_OFFLINE))
    sink = WandbSink(
        folder,
        mode=mode,
        project=project or str(config.get("log.wandb_project", "swav-dali")),
        name=str(config.get("name", folder.name)),
        run_id=str(config["run_id"]),
        config={**{key: value for key, value in config.items() if key != "run_id"}, **read_environment(folder)},
        extras=WandbExtras(tables=tables),
    )
    failed = True
    try:
        sent = _send(folder, sink)
        failed = False
    finally:
        sink.close(failed=failed)
    if sorted((folder / "wandb").glob(_OFFLINE)) != earlier:
        for segment in earlier:
            segment.rename(segment.with_name(f"replaced-{segment.name}"))
    return sent


def _send(folder: Path, sink: WandbSink) -> int:
    first, sent = sink.next_step, 0
    drawn = [Event("pictures", gallery.step, gallery.title, str(path)) for path, gallery in galleries(folder)]
    told: list[Record | Event] = sorted([*steps(folder), *drawn], key=_step)
    notices: list[SinkNotice] = []
    for each in told:
        if _step(each) >= first:
            if isinstance(each, Event):
                _tell(sink, each, notices)
            else:
                sink.record(each)
                sent += 1
    sink.summarize(_evaluations(folder))
    for event in _newest_events(folder):
        _tell(sink, event, notices)
    if notices:
        raise notices[-1]
    return sent


def _tell(sink: WandbSink, event: Event, notices: list[SinkNotice]) -> None:
    try:
        sink.event(event)
    except SinkNotice as notice:
        notices.append(notice)


def _evaluations(folder: Path) -> dict[str, list[float]]:
    """Every value of what was evaluated, in the order of the steps; they may come after an online run has ended."""
    told: dict[str, list[float]] = {}
    for record in steps(folder):
        for key, value in record.items():
            if BY_KEY[key].group == "Evaluation":
                told.setdefault(key, []).append(float(value))
    return told


def steps(folder: Path) -> Iterator[Record]:
    """One record a step, in order: what a step wrote in two lines, such as a probe's, is put together."""
    records = [json.loads(line) for line in read_lines(folder / "metrics.jsonl")]
    told = [record for record in records if isinstance(record.get("step"), int)]
    for _, same in groupby(sorted(told, key=_step), key=_step):
        merged = {key: value for record in same for key, value in record.items()}
        yield {key: value for key, value in merged.items() if key in BY_KEY}


def _step(told: Record | Event) -> int:
    return told.step if isinstance(told, Event) else int(told["step"])


def _newest_events(folder: Path) -> list[Event]:
    events = [json.loads(line) for line in read_lines(folder / "events.jsonl")]
    newest = {event["kind"]: Event(event["kind"], int(event["step"]), str(event["text"])) for event in events}
    return [event for event in newest.values() if event.kind != "pictures"]


def read_config(folder: Path) -> dict[str, Any]:
    """A run's config.json, with its `run_id`; raises ConfigError for what is no run folder."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["run_id"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            "not a run folder", where=path, found=error, expected="config.json, as in runs/NAME"
        ) from error
    return config
