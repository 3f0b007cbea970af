"""errors.jsonl: every picture that was not simply copied, one JSON line each, and the summary a person reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from shards.atomic import write_whole
from shards.judge import DONE, Event
from shards.pictures.troubles import EXPLANATIONS, Trouble
from shards.policy import Action

ERRORS_NAME = "errors.jsonl"
DROPPED = DONE[Action.QUARANTINE]


def write_errors(out: Path, events: list[Event]) -> None:
    """Write errors.jsonl in the order of keys, or remove an old one when nothing happened."""
    path = out / ERRORS_NAME
    if events:
        lines = [json.dumps(event, ensure_ascii=True) for event in sorted(events, key=_order)]
        write_whole(path, ("\n".join(lines) + "\n").encode())
    else:
        path.unlink(missing_ok=True)


def read_errors(out: Path) -> list[Event]:
    """The events of a finished build."""
    path = out / ERRORS_NAME
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def num_dropped(events: Iterable[Event]) -> int:
    """Pictures left out."""
    return len({(event["key"], event["name"]) for event in events if event["action"] == DROPPED})


def summary_lines(events: list[Event]) -> list[str]:
    """One line per class of trouble and action: how many, and what the class means."""
    counts = Counter((Trouble(event["trouble"]), event["action"]) for event in events)
    order = list(Trouble)
    return [
        f"{count:>8,} {action:<12} {trouble:<13} {EXPLANATIONS[trouble]}"
        for (trouble, action), count in sorted(counts.items(), key=lambda item: order.index(item[0][0]))
    ]


def _order(event: Event) -> tuple[str, str, str]:
    return event["key"], event["name"], event["trouble"]
