"""What happened to pictures on the way into a set: errors.jsonl, the originals left out, the summary a person reads.

Every picture that was not simply copied has an event, one JSON line each.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shards.building.policy import Action
from shards.host.atomic import write_whole
from shards.pictures.troubles import EXPLANATIONS, Trouble
from shards.remote.store import Store

ERRORS_NAME = "errors.jsonl"
QUARANTINE = "quarantine"
DONE = {
    Action.KEEP: "kept",
    Action.FIX: "fixed",
    Action.BAKE: "fixed",
    Action.QUARANTINE: "quarantined",
    Action.STOP: "stopped",
}
DROPPED = DONE[Action.QUARANTINE]

PictureEvent = dict[str, Any]  # key, name, trouble, action, detail; the key is "" for a picture left out of the plan


def write_errors(out: Store, events: Iterable[PictureEvent]) -> None:
    """Write errors.jsonl in the order of keys, or remove an old one when nothing happened."""
    ordered = sorted(events, key=lambda event: (event["key"], event["name"], event["trouble"]))
    if ordered:
        out.write(ERRORS_NAME, "".join(f"{json.dumps(event, ensure_ascii=True)}\n" for event in ordered).encode())
    elif out.look(ERRORS_NAME):
        out.remove(ERRORS_NAME)


def read_errors(out: Store) -> list[PictureEvent]:
    """The events of a finished build."""
    content = out.read_from(ERRORS_NAME, 0) if out.look(ERRORS_NAME) else b""
    return [json.loads(line) for line in content.decode().splitlines()]


def num_dropped(events: Iterable[PictureEvent]) -> int:
    """Pictures left out."""
    return len({(event["key"], event["name"]) for event in events if event["action"] == DROPPED})


def summary_lines(events: Iterable[PictureEvent]) -> list[str]:
    """One line per class of trouble and action: how many, and what the class means."""
    counts = Counter((Trouble(event["trouble"]), event["action"]) for event in events)
    order = list(Trouble)
    return [
        f"{count:>8,} {action:<12} {trouble:<13} {EXPLANATIONS[trouble]}"
        for (trouble, action), count in sorted(counts.items(), key=lambda item: order.index(item[0][0]))
    ]


def quarantine(out: Path, key: str, name: str, content: bytes) -> None:
    """Keep the original bytes of a left-out picture beside the shards, so that a person can look at it."""
    if content:
        path = out / quarantined_as(key, name)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content)


def quarantined(events: Iterable[PictureEvent]) -> list[str]:
    """Files of the pictures that a shard left out."""
    return [quarantined_as(event["key"], event["name"]) for event in events if event["action"] == DROPPED]


def quarantined_as(key: str, name: str) -> str:
    """A left-out picture's file: its key and the end of its original name, in plain characters."""
    return f"{QUARANTINE}/{key}_{re.sub(r'[^A-Za-z0-9._-]', '_', name.rpartition('/')[2])[-80:]}"
