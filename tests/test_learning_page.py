"""docs/learning.md says what its records say, and what no figure can say without a spread."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from swav_dali.config.presets import load_preset
from tests.learning.page import spread, write_page
from tests.learning.rows import ROWS

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = [json.loads(line) for line in (DOCS / "learning.jsonl").read_text().splitlines()]


def test_the_page_and_its_pictures_are_made_from_the_records(tmp_path: Path) -> None:
    page = tmp_path / "learning.md"
    page.write_text((DOCS / "learning.md").read_text())
    write_page(page, sorted(RECORDS, key=lambda entry: (entry["row"], entry["seed"])))
    for made in tmp_path.iterdir():
        assert made.read_text() == (DOCS / made.name).read_text(), made.name
    pictures = list(tmp_path.glob("*.svg"))
    assert {path.stem.partition("-")[2] for path in pictures} == {entry["row"] for entry in RECORDS}
    for path in pictures:
        ElementTree.parse(path)


def test_every_row_trains_a_preset_there_is_and_was_recorded_with_its_seeds() -> None:
    for name, row in ROWS.items():
        assert load_preset(row.preset).name == row.preset
        found = {entry["seed"] for entry in RECORDS if entry["row"] == name}
        assert found <= set(row.seeds)


def test_a_figure_has_a_spread_or_says_that_it_has_none() -> None:
    assert spread([60.0, 50.0, 55.0]) == "55.0 (50.0 to 60.0)"
    assert spread([60.04]) == "60.0, one run"
