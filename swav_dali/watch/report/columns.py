"""The records of a run as one column of numbers per key, read line by line: a long run is never in memory as objects.

A record of 79 figures takes 6 KB as a Python object and 0.7 KB here, and a training may be using the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from swav_dali.watch.record import BY_KEY

_ROWS = 1024
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the steps, in their order, both float64 (points,)."""

    steps: Array
    values: Array


def read_columns(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Every declared key's numbers, NaN for what is none; a record without a step is left out."""
    kinds: dict[tuple[str, ...], _Rows] = {}
    for record in records:
        if isinstance(record.get("step"), int):
            keys = tuple(record)
            if keys not in kinds:
                kinds[keys] = _Rows(keys)
            kinds[keys].add(record)
    parts: dict[str, list[Curve]] = {}
    for rows in kinds.values():
        for key, column in rows.columns().items():
            parts.setdefault(key, []).append(column)
    return {key: _in_order(of_key) for key, of_key in parts.items()}


class _Rows:
    """Records of the same keys, packed by the thousand."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys
        self._packed: list[Array] = []
        self._open: list[list[float]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        values = list(record.values())
        if not set(map(type, values)) <= {int, float}:
            values = [_number(value) for value in values]
        self._open.append(values)
        if len(self._open) == _ROWS:
            self._pack()

    def columns(self) -> dict[str, Curve]:
        self._pack()
        table = np.concatenate(self._packed)  # (records, keys)
        steps = table[:, self._keys.index("step")]
        declared = [(place, key) for place, key in enumerate(self._keys) if key in BY_KEY]
        return {key: Curve(steps, table[:, place]) for place, key in declared}

    def _pack(self) -> None:
        self._packed.append(np.array(self._open, float).reshape(len(self._open), len(self._keys)))
        self._open.clear()


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _in_order(parts: list[Curve]) -> Curve:
    """By step: evaluations are written when they are done, after records of later steps."""
    steps, values = (np.concatenate(each) for each in zip(*((part.steps, part.values) for part in parts), strict=True))
    order = np.argsort(steps, kind="stable")
    return Curve(steps[order], values[order])
