"""docs/learning.md from the records of all trials: one table, a curve per row, and the commands behind them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from tests.learning.curves import draw_curves
from tests.learning.rows import ROWS, Row
from tests.learning.trial import Entry, training_words

HEAD = """\
# What the recipes learn

Top-1 accuracy in per cent on the validation split, of features that no label has touched: a weighted vote of the 20
nearest training images, and a linear head (the best of 13 rates on two kinds of features, chosen on the same split, so
a little flattering). Every row is several seeds of one recipe: **mean (lowest to highest)**. Raw pixels and the
untrained network are the floors of the same vote on the same pictures.

One run is one draw: the order in which a sum is taken changes with the number of threads and the processor, and moves
a run by as much as another seed does. The same command on the same machine with the same number of threads gives the
same bits again. CPU-minutes are of all cores and hold whatever else the machine did; on quiet cores the clock shows
about CPU-minutes divided by cores.

"""


def write_page(page: Path, entries: Sequence[Entry]) -> None:
    """Write the page and, beside it, one picture per row."""
    rows = [(name, row, found) for name, row in ROWS.items() if (found := [e for e in entries if e["row"] == name])]
    parts = [HEAD, _table(rows)]
    for name, row, found in rows:
        picture = page.parent / f"learning-{name}.svg"
        picture.write_text(draw_curves(found), encoding="utf-8")
        parts.append(_section(name, row, found, picture.name))
    notes = page.read_text(encoding="utf-8").partition("\n## Tried")[1:] if page.exists() else ()
    page.write_text("\n".join(parts).rstrip() + "\n" + "".join(notes), encoding="utf-8")


def _table(rows: Sequence[tuple[str, Row, list[Entry]]]) -> str:
    lines = [
        "| set | recipe | seeds | kNN | linear | raw pixels | untrained | CPU-minutes a seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for _name, row, found in rows:
        votes = [entry["knn"][-1][1] for entry in found]
        lines.append(
            f"| {row.title} | `{' '.join((row.preset, *row.flags))}`, {found[0]['epochs']} epochs | {len(found)} "
            f"| **{spread(votes)}** | {spread([entry['linear'] for entry in found])} | {found[0]['pixels']:.1f} "
            f"| {spread([entry['untrained'] for entry in found])} | {spread([e['cpu_minutes'] for e in found])} |"
        )
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float]) -> str:
    """`mean (lowest to highest)`, or the one value."""
    if len(values) == 1:
        return f"{values[0]:.1f}, one run"
    return f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _section(name: str, row: Row, found: Sequence[Entry], picture: str) -> str:
    lines = [
        f"## {row.title}\n",
        f"![kNN over the epochs, a line for each seed]({picture})\n",
        "| seed | kNN | linear | last loss | CPU-minutes | threads | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in found:
        lines.append(
            f"| {entry['seed']} | {entry['knn'][-1][1]:.1f} | {entry['linear']:.1f} | {entry['last_loss']:.3f} "
            f"| {entry['cpu_minutes']:.1f} | {entry['threads']} | {entry['commit']} |"
        )
    command = shlex.join(["python", *training_words(row, found[0]["seed"], row.data)])
    machines = ", ".join(sorted({entry["machine"] for entry in found}))
    lines.append(f"\n{machines}.\n\n```\n{row.source}")
    lines.append(f"{command}\npython -m swav_dali evaluate linear runs/{row.preset}")
    lines.append(f"python -m tests.learning {name} --data {row.data}   # all seeds, this section\n```\n")
    return "\n".join(lines)
