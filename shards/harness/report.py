"""A bench's figures for people and for programs: a table, and a record of everything as JSON values."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from shards.harness.turns import Timing

SCHEMA = 1


class Column(NamedTuple):
    """A column of the table: its heading, its width in letters, and what it says of a contestant."""

    heading: str
    width: int
    text: Callable[[Timing], str]


def table(timings: Sequence[Timing], columns: Sequence[Column], *, name_width: int) -> list[str]:
    """A heading, and a line per contestant."""
    head = " ".join([name_width * " ", *(f"{column.heading:>{column.width}}" for column in columns)])
    return [head, *(_line(timing, columns, name_width) for timing in timings)]


def _line(timing: Timing, columns: Sequence[Column], name_width: int) -> str:
    cells = (f"{column.text(timing):>{column.width}}" for column in columns)
    return " ".join([f"{timing.contestant.name:{name_width}}", *cells])


def figures(timing: Timing) -> dict[str, Any]:
    """What every bench records of a contestant, as JSON values; lists have an item per round."""
    return {
        "name": timing.contestant.name,
        "images_per_second": timing.rate,
        "cpu_ms_per_image": timing.cpu_ms_per_item,
        "seconds": [turn.seconds for turn in timing.turns],
        "cpu_seconds": [turn.cpu_seconds for turn in timing.turns],
    }


def write_record(
    path: Path,
    results: Sequence[dict[str, Any]],
    *,
    setting: Mapping[str, object],
    packages: Sequence[str],
    **more: Any,
) -> None:
    """Write a bench's record: the host, its setting, `more`, and a result per contestant.

    `setting` is what the command was told; `packages` are those whose versions matter to the figures.
    """
    chosen = {key: str(value) for key, value in setting.items() if key != "run"}
    record = {"schema": SCHEMA, "host": _host(packages), "setting": chosen, **more, "results": list(results)}
    path.write_text(json.dumps(record, indent=1) + "\n")


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _host(packages: Sequence[str]) -> dict[str, Any]:
    versions = {name: version(name) for name in packages}
    return {"cores": num_cores(), "cpu": _cpu(), "load": os.getloadavg(), "versions": versions}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
