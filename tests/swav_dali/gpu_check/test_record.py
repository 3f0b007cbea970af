"""The JSON file: whole at any moment, taken over by the next start, never mixed with another setting's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swav_dali.gpu_check.record import Record

SETTING = {"device": "cuda", "tiny": False}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "figures.json"


def test_a_figure_is_on_disk_as_soon_as_it_is_put_and_known_to_the_next_start(path: Path) -> None:
    first = Record(path, SETTING, "v1")
    first.begin("rate")
    assert json.loads(path.read_text())["figures"]["rate"]["status"] == "begun"
    first.put("rate", "ok", 1.26, {"value": 7})
    second = Record(path, SETTING, "v2")
    assert second.is_settled("rate")
    assert second.value("rate") == 7
    assert second.figures["rate"] == {"status": "ok", "seconds": 1.3, "tries": 1, "sources": "v1", "value": 7}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_failed_is_tried_again_by_other_code_only(path: Path) -> None:
    Record(path, SETTING, "v1").put("rate", "failed", 1, {"error": "no"})
    assert Record(path, SETTING, "v1").is_settled("rate")
    assert not Record(path, SETTING, "v2").is_settled("rate")
    assert Record(path, SETTING, "v2").value("rate") is None


@pytest.mark.parametrize("status", ["begun", "timed out", "crashed"])
def test_what_takes_the_process_with_it_is_begun_twice_and_no_more(path: Path, status: str) -> None:
    for number in (1, 2):
        record = Record(path, SETTING, "v1")
        assert not record.is_settled("rate")
        record.begin("rate")
        if status != "begun":
            record.put("rate", status, 1, {"error": "gone"})  # type: ignore[arg-type]
        assert record.figures["rate"]["tries"] == number
    assert Record(path, SETTING, "v1").is_settled("rate")
    other = Record(path, SETTING, "v2")
    assert not other.is_settled("rate")
    other.begin("rate")
    assert other.figures["rate"]["tries"] == 1


def test_no_time_left_is_no_try(path: Path) -> None:
    record = Record(path, SETTING, "v1")
    record.put("rate", "no time left", 0, {})
    assert not record.is_settled("rate")
    assert record.figures["rate"]["tries"] == 0


@pytest.mark.parametrize("content", ["", "[1]", '{"schema": 1, "figures": {}}', '{"schema": 2, "setting": {}}'])
def test_a_file_of_another_setting_is_moved_aside(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert Record(path, SETTING, "v1").figures == {}
    assert path.with_name("figures.json.old").read_text() == content
