"""The rank that the others wait for, found by the work it does alone. Pure.

Ranks meet in every step, so a slow one shows as waiting of the others. What a rank does between two meetings is its
own: getting a batch, the forward, the loss, the update, and of codes and backward what is left without the meetings.
Time in which a process of others held the rank's core is not its fault.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swav_dali.watch.record import Gathered

PARTS = ("data", "forward", "loss", "backward", "optimizer")
"""Of a rank's own work; `backward` includes what codes do without the other ranks."""


@dataclass(frozen=True, slots=True)
class Straggler:
    """The rank whose own work takes longest, compared with the median of the others.

    Attributes:
        rank: which.
        part: the part in which it loses most.
        score: the others' own work by its own, at most 1; 1 is no straggler.
        lost_ms: how much longer its own work takes, per step.
    """

    rank: int
    part: str
    score: float
    lost_ms: float


def find_straggler(gathered: Gathered) -> Straggler | None:
    """The slowest rank by the work it does alone; None on one rank."""
    size = len(gathered["seconds_per_step"])
    parts = own_work(gathered)
    if size == 1 or not parts:
        return None
    whole = [sum(values[rank] for values in parts.values()) for rank in range(size)]
    own = [max(0.0, ms - crowded) for ms, crowded in zip(whole, _crowded_ms(gathered), strict=True)]
    rank = max(range(size), key=own.__getitem__)
    beyond = {name: values[rank] - _others(values, rank) for name, values in parts.items()}
    part = max(beyond, key=beyond.__getitem__)
    return Straggler(rank, part, _score(own), max(0.0, own[rank] - _others(own, rank)))


def part_scores(gathered: Gathered) -> Mapping[str, float]:
    """For each part, the others' time by that of its slowest rank; 1 is even. Empty on one rank."""
    if len(gathered["seconds_per_step"]) == 1:
        return {}
    return {name: _score(values) for name, values in own_work(gathered).items()}


def own_work(gathered: Gathered) -> dict[str, list[float]]:
    """Milliseconds of every rank's own parts of a step, of those parts that every rank tells."""
    told = {name: list(values) for name, values in gathered.items() if not any(map(math.isnan, values))}
    own = {name: told[f"{name}_ms"] for name in PARTS if f"{name}_ms" in told}
    if "backward" in own:
        nothing = [0.0] * len(own["backward"])
        codes, met = told.get("codes_ms", nothing), told.get("collectives_ms", nothing)
        own["backward"] = [max(0.0, b + c - m) for b, c, m in zip(own["backward"], codes, met, strict=True)]
    return own


def _crowded_ms(gathered: Gathered) -> list[float]:
    shares = gathered.get("loop_crowded_share", [math.nan])
    if any(map(math.isnan, shares)):
        return [0.0] * len(gathered["seconds_per_step"])
    return [1000 * share * step for share, step in zip(shares, gathered["seconds_per_step"], strict=True)]


def _score(values: Sequence[float]) -> float:
    rank = max(range(len(values)), key=values.__getitem__)
    return 1.0 if values[rank] == 0 else min(1.0, _others(values, rank) / values[rank])


def _others(values: Sequence[float], rank: int) -> float:
    return statistics.median([value for other, value in enumerate(values) if other != rank])
