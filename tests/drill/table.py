"""The drill's table, on the console and as a page of docs/."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

COLUMNS = ("same bits", "refused", "as said", "skipped", "WRONG", "HUNG")
MEANING = """Each trial starts a small run, lets one thing happen to it, and starts it again.
*same bits*: it went on, or was continued, and ended with the weights, optimizer, queue, data position and losses of a
run that nothing befell, bit for bit. *refused*: one line that says what is wrong, exit code not 0, nothing changed on
disk. *as said*: it goes on in a way that it announces, for instance on another number of ranks. *wrong* and *hung* fail
the drill."""


def rows(entries: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Head, one row a kind in the order of the drill, and the sum."""
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        counts.setdefault(entry["kind"], Counter())[entry["verdict"]] += 1
    body = [
        (name, str(sum(count.values())), *(_cell(count[c]) for c in COLUMNS)) for name, count in sorted(counts.items())
    ]
    total = Counter(entry["verdict"] for entry in entries)
    return [("fault", "trials", *COLUMNS), *body, ("sum", str(len(entries)), *(_cell(total[c]) for c in COLUMNS))]


def print_table(entries: list[dict[str, Any]]) -> None:
    """For a terminal."""
    for name, *numbers in rows(entries):
        print(f"{name:66}" + "".join(f"{number:>11}" for number in numbers))


def write_page(path: Path, entries: list[dict[str, Any]], *, seed: int) -> None:
    """docs/drill.md; what stands under the table from the first `## ` on is kept."""
    head, *body, total = rows(entries)
    lines = ["# The drill", "", f"`python -m tests.drill --seed {seed}`: {len(entries)} trials.", "", MEANING, ""]
    lines += [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in body]
    lines += [f"| **{total[0]}** | {' | '.join(f'**{cell}**' if cell else '' for cell in total[1:])} |", ""]
    skipped = sorted({entry["note"] for entry in entries if entry["verdict"] == "skipped"})
    lines += [f"Skipped: {'; '.join(skipped)}.", ""] if skipped else []
    _, found, notes = path.read_text().partition("\n## ") if path.exists() else ("", "", "")
    path.write_text("\n".join(lines) + found + notes)


def _cell(number: int) -> str:
    return str(number) if number else ""
