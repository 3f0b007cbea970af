"""The table of planted faults judges rightly: named in time, late, too early, hidden by a crowd, a false alarm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults import kinds_learning  # noqa: F401 (enters its kinds)
from tests.faults.kinds import KINDS, QUIET
from tests.faults.moments import at_ln_k, collapsed, risen, windows
from tests.faults.table import outcome, rows, write_page


def entry(kind: str, *after: tuple[str, int], before: tuple[str, ...] = (), standing: str = "") -> dict[str, Any]:
    told = {"before": list(before), "after": [list(pair) for pair in after], "standing": standing, "crowded": 0.25}
    return {"kind": kind, "number": 0, "quiet": QUIET, "told": told, "log": []}


RIGHT = ("optimizer-bound", 1)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (entry("slow optimizer", RIGHT), "named"),
        (entry("slow optimizer", ("crowded host", 1), RIGHT), "named"),
        (entry("slow optimizer", ("optimizer-bound", 2)), "late"),
        (entry("slow optimizer", RIGHT, before=("optimizer-bound",)), "before"),
        (entry("slow optimizer", ("model-bound", 1), standing="model-bound"), "not named"),
        (entry("slow optimizer", ("crowded host", 1), standing="crowded host"), "crowded"),
        (entry("none, one rank", ("model-bound", 2)), "fine"),
        (entry("none, one rank", ("crowded host", 2), ("model-bound", 3)), "fine"),
        (entry("none, one rank", RIGHT), "false alarm"),
        (entry("none, one rank", before=("collapse",)), "false alarm"),
        ({"kind": "slow optimizer", "quiet": QUIET, "log": ["ended at step 3"]}, "broken"),
    ],
)
def test_an_outcome_follows_from_what_was_told_and_when(told: dict[str, Any], expected: str) -> None:
    assert outcome(told) == expected


def test_the_page_has_a_row_for_each_fault_that_was_tried_and_keeps_its_notes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("old\n\n## Notes\nkept\n")
    entries = [entry("slow optimizer", RIGHT), entry("slow optimizer", ("straggler rank 1", 1))]
    assert [row[0] for row in rows(entries)] == ["planted", "slow optimizer"]
    write_page(page, entries, seed=1)
    text = page.read_text()
    assert "| slow optimizer | optimizer-bound | 1 | 2 |" in text
    assert "straggler rank 1 1" in text
    assert text.endswith("\n## Notes\nkept\n")


def test_kinds_have_names_of_their_own_and_those_of_the_issue_are_all_there() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    answers = {answer for kind in KINDS for answer in kind.answers}
    speed = {"input-bound by storage", "input-bound by decode", "input-bound by crops", "straggler rank 1"}
    learning = {"collapse", "stuck at ln K", "not finite", "queue started too early"}
    assert answers >= speed | learning | {"optimizer-bound", "checkpoint-bound"}


def test_a_fault_of_learning_shows_by_rules_of_its_own(tmp_path: Path) -> None:
    lost = [{"step": 10 * i, "loss": 4.0 if i < 3 else 3.01, "ln_k": 3.0, "queue_in_use": 0.0} for i in range(1, 9)]
    assert at_ln_k(lost) == 30
    assert at_ln_k(lost[:2]) is None
    rising = [{**r, "loss": 3.0 if r["step"] < 60 else 3.2, "queue_in_use": float(r["step"] > 40)} for r in lost]
    assert risen(rising) == 60
    assert risen(rising[:5]) is None
    falling = [{**r, "rankme": 9.0 - r["step"] / 10, "prototype_perplexity": 0.4} for r in lost]
    assert collapsed(falling) == 70
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in falling))
    event = {"kind": "health", "step": 80, "text": "collapse: embedding spread 0.1"}
    (run / "events.jsonl").write_text(json.dumps(event) + "\n")
    assert windows(tmp_path, "collapse", collapsed) == (70, 80, 1.0)
    assert windows(tmp_path, "divergence", collapsed) == (70, None, None)
