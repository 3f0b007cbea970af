"""What a report shows of a run, read from its folder: records, events, configuration, thinned for drawing.

A curve of more points than a screen has columns is cut into buckets of equal length, and of each bucket the smallest
and the largest value stay: no spike is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from swav_dali.errors import ConfigError
from swav_dali.watch.pictures import Gallery, galleries
from swav_dali.watch.record import PARTS
from swav_dali.watch.report.columns import Array, Curve, read_columns
from swav_dali.watch.sinks.jsonl import each_object

MOST_POINTS = 1000


@dataclass(frozen=True, slots=True)
class RunData:
    """One run.

    Attributes:
        name: of the run folder.
        curves: by key of metrics.jsonl, thinned.
        latest: the newest value of every key.
        events: as in events.jsonl, oldest first.
        config: as in config.json.
        galleries: its newest pictures of each kind.
    """

    name: str
    curves: dict[str, Curve]
    latest: dict[str, float]
    events: list[dict[str, Any]]
    config: dict[str, Any]
    galleries: Sequence[Gallery] = ()

    @property
    def verdict(self) -> str:
        """What the run's speed is bound by, as last told."""
        told = [str(event["text"]) for event in self.events if event.get("kind") == "verdict"]
        return told[-1] if told else "no verdict yet"


def read_run(folder: Path) -> RunData:
    """Read a run folder, also of a run that goes on.

    Raises:
        ConfigError: there is no metrics.jsonl.
    """
    metrics = folder / "metrics.jsonl"
    if not metrics.is_file():
        raise ConfigError("not a run folder", where=folder, expected="a folder with metrics.jsonl, as runs/NAME")
    columns = read_columns(each_object(metrics))
    curves = {key: thin(_finite(column)) for key, column in _with_whole_parts(columns).items()}
    config = folder / "config.json"
    return RunData(
        name=folder.resolve().name,
        curves={key: curve for key, curve in curves.items() if len(curve.steps)},
        latest={key: float(column.values[-1]) for key, column in columns.items()},
        events=list(each_object(folder / "events.jsonl")),
        config=json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {},
        galleries=_shown(galleries(folder)),
    )


def _shown(drawn: Sequence[tuple[Path, Gallery]]) -> list[Gallery]:
    """The newest of each kind."""
    return list({gallery.name: gallery for _, gallery in drawn}.values())


def thin(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """At most `most` points: the extremes of each bucket, in their order, and the two ends."""
    count = len(curve.steps)
    if count <= most:
        return curve
    edges = np.linspace(0, count, (most - 2) // 2 + 1).astype(int)
    buckets = pairwise(edges)
    extremes = [start + at for start, end in buckets for at in _extremes(curve.values[start:end])]
    kept = np.unique([0, *extremes, count - 1])
    return Curve(curve.steps[kept], curve.values[kept])


def _extremes(values: Array) -> tuple[int, int]:
    return int(values.argmin()), int(values.argmax())


def _with_whole_parts(columns: Mapping[str, Curve]) -> dict[str, Curve]:
    """The parts of a step at every record that has any: one that is not told, such as a checkpoint, took no time."""
    told = [columns[name].steps for name in PARTS if name in columns]
    if not told:
        return dict(columns)
    steps = np.unique(np.concatenate(told))
    filled = {name: np.zeros(len(steps)) for name in PARTS if name in columns}
    for name, values in filled.items():
        values[np.searchsorted(steps, columns[name].steps)] = columns[name].values
    return {**columns, **{name: Curve(steps, values) for name, values in filled.items()}}


def _finite(curve: Curve) -> Curve:
    told = np.isfinite(curve.values)
    return Curve(curve.steps[told], curve.values[told])
