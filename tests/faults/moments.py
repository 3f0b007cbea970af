"""`python -m tests.faults.moments`: windows from the moment a fault of learning shows to the line that names it.

When it shows is told by a rule of its own, from figures of the kept trials' records: collapse by the dimensions in use
and the spread of the codes over prototypes, stuck by the loss, a queue too early by the loss beside its lowest before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EVERY = 10
"""Steps of a log window of these trials; see tests.faults.kinds_learning."""
Records = Sequence[dict[str, Any]]


def collapsed(records: Records) -> int | None:
    """The first step with fewer than three dimensions in use and prototypes won half as evenly as could be."""
    return next((r["step"] for r in records if r["rankme"] < 3 and r["prototype_perplexity"] < 0.5), None)


def at_ln_k(records: Records) -> int | None:
    """The first step from which on the loss stays within 0.5 % of ln K."""
    away = [index for index, r in enumerate(records) if abs(r["loss"] / r["ln_k"] - 1) > 0.005]
    first = away[-1] + 1 if away else 0
    return int(records[first]["step"]) if first < len(records) else None


def risen(records: Records) -> int | None:
    """The first step at which the loss is 0.05 ln K above its lowest before the queue came into use."""
    before = [r["loss"] for r in records if not r["queue_in_use"]]
    since = (r for r in records if r["queue_in_use"] and r["loss"] > min(before) + 0.05 * r["ln_k"])
    return next((r["step"] for r in since), None)


MOMENTS: dict[str, tuple[str, Callable[[Records], int | None]]] = {
    "learning-rate-times-50": ("collapse", collapsed),
    "frozen-trunk": ("stuck at ln K", at_ln_k),
    "queue-too-early": ("queue started too early", risen),
}


def windows(
    trial: Path, name: str, rule: Callable[[Records], int | None]
) -> tuple[int | None, int | None, float | None]:
    """The step at which the fault shows, that at which it is named, and the windows between, where there are."""
    run = trial / "runs" / "run"
    records = [r for r in map(json.loads, _whole_lines(run / "metrics.jsonl")) if "loss" in r and "rankme" in r]
    events = [json.loads(line) for line in _whole_lines(run / "events.jsonl")]
    shown = rule(records)
    named = next((e["step"] for e in events if e["kind"] == "health" and e["text"].startswith(name + ":")), None)
    return shown, named, None if shown is None or named is None else (named - shown) / EVERY


def _whole_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def main() -> None:
    """Print a line for every kept trial of a fault of learning."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.moments", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("/tmp/swav-dali-faults"), help="as given to tests.faults")
    parser.add_argument("--seed", type=int, default=1, help="as given to tests.faults (1)")
    options = parser.parse_args()
    for kind, (name, rule) in MOMENTS.items():
        for trial in sorted((options.work / "trials").glob(f"{kind}-{options.seed}-*")):
            shown, named, between = windows(trial, name, rule)
            print(f"{trial.name}: shows at step {shown}, named at {named}, {between} windows later")


if __name__ == "__main__":
    main()
