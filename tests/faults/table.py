"""The confusion table: what was planted by what was told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.kinds import KINDS

MEANING = """Each trial is a whole training run with a fault planted from outside. *named*: the run's own lines, the
verdict or a symptom, call it by its name in the first log window after its onset, or within as many windows as the
row says. *crowded*: they say that processes of others held the cores for most of the time, which they did. *late*,
*before* its onset, *not named*: the lines are wrong. A run without a fault is *fine* if it is told nothing but its own
limit (model-bound, slower than it could be) or that the host is crowded."""


COLUMNS = ("fine", "named", "late", "before", "crowded", "not named", "false alarm", "broken")


def outcome(entry: dict[str, Any]) -> str:
    """named | crowded | not named | false alarm | fine | broken, of one trial."""
    kind = next(kind for kind in KINDS if kind.name == entry["kind"])
    if "told" not in entry:
        return "broken"
    after = [(name, window) for name, window in entry["told"]["after"]]
    if not kind.answers:
        alarms = [name for name, _ in after if name not in entry["quiet"]]
        return "false alarm" if alarms or set(entry["told"]["before"]) - set(entry["quiet"]) else "fine"
    if any(name in kind.answers for name in entry["told"]["before"]):
        return "before"
    if any(name in kind.answers and window <= kind.windows for name, window in after):
        return "named"
    if any(name in kind.answers for name, _ in after):
        return "late"
    return "crowded" if entry["told"]["standing"] == "crowded host" else "not named"


def rows(entries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Head and one row a kind, in the order of the kinds."""
    body = []
    for kind in KINDS:
        own = [entry for entry in entries if entry["kind"] == kind.name]
        if not own:
            continue
        count = Counter(outcome(entry) for entry in own)
        said = Counter(name for entry in own if "told" in entry for name, _ in entry["told"]["after"])
        besides = {name: number for name, number in said.items() if name not in kind.answers}
        words = ", ".join(f"{name} {number}" for name, number in sorted(besides.items()))
        crowd = sum(entry["told"]["crowded"] for entry in own if "told" in entry) / len(own)
        cells = [str(count[column]) if count[column] else "" for column in COLUMNS]
        body.append(
            (kind.name, " or ".join(kind.answers), str(kind.windows), str(len(own)), *cells, words, f"{crowd:.0%}")
        )
    return [("planted", "its name", "windows", "runs", *COLUMNS, "told besides", "cores lost"), *body]


def print_table(entries: list[dict[str, Any]]) -> None:
    """For a terminal."""
    for row in rows(entries):
        print("  ".join(cell.ljust(24 if place < 2 else 8) for place, cell in enumerate(row)))


def write_page(path: Path, entries: list[dict[str, Any]], *, seed: int) -> None:
    """docs/verdict.md; what stands under the table from the first `## ` on is kept."""
    head, *body = rows(entries)
    lines = ["# Planted faults", "", f"`python -m tests.faults --seed {seed}`: {len(entries)} runs.", "", MEANING, ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in body]
    _, found, notes = path.read_text().partition("\n## ") if path.exists() else ("", "", "")
    path.write_text("\n".join([*lines, ""]) + found + notes)
