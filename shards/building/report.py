"""errors.jsonl: every picture that was not simply copied, one JSON line each, and the summary a person reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from shards.building.judge import DONE, Event
from shards.building.policy import Action
from shards.host.atomic import write_whole
from shards.pictures.troubles import EXPLANATIONS, Trouble

ERRORS_NAME = "errors.jsonl"
DROPPED = DONE[Action.QUARANTINE]


def write_errors(out: Path, events: list[Event]) -> None:
    """Write errors.jsonl, or remove an old one when nothing happened."""
    path = out / ERRORS_NAME
    if events:
        write_whole(path, format_errors(events))
    else:
        path.unlink(missing_ok=True)


def format_errors(events: list[Event]) -> bytes:
    """The file's content, in the order of keys."""
    return "".join(f"{json.dumps(event, ensure_ascii=True)}\n" for event in sorted(events, key=_order)).encode()


def read_errors(out: Path) -> list[Event]:
    """The events of a finished build."""
    path = out / ERRORS_NAME
    return parse_errors(path.read_bytes()) if path.is_file() else []


def parse_errors(content: bytes) -> list[Event]:
    """The events in a file's content."""
    return [json.loads(line) for line in content.decode().splitlines()]


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
