"""Every sink gets the same record; the file survives a cut line and a resume; a broken sink is dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swav_dali.watch.sinks.base import Event, Record, SinkGroup
from swav_dali.watch.sinks.console import ConsoleSink
from swav_dali.watch.sinks.jsonl import JsonlSink, read_lines

RECORD = {
    "step": 8,
    "epoch": 1,
    "loss": 4.0,
    "ln_k": 4.16,
    "lr": 0.1,
    "images_per_second": 321.0,
    "data_wait_share": 0.25,
    "seconds_left": 75.0,
}


class Memory:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.events: list[Event] = []
        self.is_closed = False

    def record(self, record: Record) -> None:
        self.records.append(record)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.is_closed = True


class Broken(Memory):
    def record(self, record: Record) -> None:
        raise OSError("disk full")


def test_a_broken_sink_is_dropped_with_a_warning_and_the_others_go_on() -> None:
    memory = Memory()
    group = SinkGroup([Broken(), memory])
    with pytest.warns(UserWarning, match="Broken failed and is switched off: disk full"):
        group.record(RECORD)
    group.record(RECORD)
    group.close()
    assert memory.records == [RECORD, RECORD]
    assert memory.events == [Event("warning", int(RECORD["step"]), "Broken failed and is switched off: disk full")]
    assert memory.is_closed


def test_when_every_sink_fails_nothing_is_raised() -> None:
    class Silent(Broken):
        def event(self, event: Event) -> None:
            raise OSError("no terminal")

    group = SinkGroup([Silent(), Silent()])
    with pytest.warns(UserWarning, match="switched off"):
        group.record(RECORD)
    group.close()


def test_metrics_are_one_object_a_line(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path, resume_step=-1)
    sink.record(RECORD)
    sink.event(Event("start", 0, "hello"))
    sink.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == RECORD
    assert json.loads((tmp_path / "events.jsonl").read_text())["text"] == "hello"


def test_resuming_drops_later_steps_and_a_line_cut_by_a_crash(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step}) for step in (0, 4, 8, 12)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 1')
    JsonlSink(tmp_path, resume_step=8).close()
    assert [json.loads(line)["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [0, 4, 8]


def test_a_new_run_starts_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    JsonlSink(tmp_path, resume_step=-1).close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_plain_lines_carry_loss_rate_wait_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    sink = ConsoleSink(total_steps=100, start_step=0, epochs=4)
    sink.record(RECORD)
    sink.record({"step": 8, "epoch": 1, "knn_top1": 0.5, "knn_untrained": 0.25, "knn_pixels": 0.125})
    sink.event(Event("warning", 8, "look"))
    sink.close()
    first, second, third = capsys.readouterr().out.splitlines()
    for words in (
        "epoch 1/4",
        "step 8/100",
        "loss 4.0000 (ln K 4.1600)",
        "321 images/s",
        "data wait 25.0%",
        "1m15s left",
    ):
        assert words in first
    assert "kNN top-1 50.0%" in second
    assert "untrained 25.0%, raw pixels 12.5%" in second
    assert third == "warning: look"
