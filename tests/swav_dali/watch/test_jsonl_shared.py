"""An evaluation may write into a run's files while the run goes on, is restarted, or has died in mid-line."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from swav_dali.watch.sinks import jsonl
from swav_dali.watch.sinks.base import Event, SinkNotice
from swav_dali.watch.sinks.jsonl import JsonlSink, append

APPENDED = 150


def append_many(folder: Path) -> None:
    for number in range(APPENDED):
        append(folder, {"step": 0, "epoch": 0, "linear_top1": number / 1000}, Event("evaluation", 0, f"{number}"))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_line_of_either_writer_is_lost_or_cut_even_over_restarts(tmp_path: Path) -> None:
    JsonlSink(tmp_path, resume_step=-1).close()
    other = multiprocessing.get_context("fork").Process(target=append_many, args=(tmp_path,))
    other.start()
    step = 0
    while other.is_alive() or step < 100:
        sink = JsonlSink(tmp_path, resume_step=step)
        for _ in range(20):
            step += 1
            sink.record({"step": step, "epoch": 1, "padding": "x" * (step % 97)})
            sink.event(Event("verdict", step, "bound"))
        sink.close()
    other.join()
    assert other.exitcode == 0
    metrics, events = lines(tmp_path / "metrics.jsonl"), lines(tmp_path / "events.jsonl")
    assert [each["step"] for each in metrics if each["step"]] == list(range(1, step + 1))
    assert [each["linear_top1"] for each in metrics if not each["step"]] == [n / 1000 for n in range(APPENDED)]
    assert [each["text"] for each in events if each["kind"] == "evaluation"] == [str(n) for n in range(APPENDED)]
    assert len([each for each in events if each["kind"] == "verdict"]) == step


def test_half_a_line_of_a_killed_writer_does_not_swallow_the_next(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path, resume_step=-1)
    sink.record({"step": 1, "epoch": 1})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 0, "linear')
    sink.record({"step": 2, "epoch": 1})
    sink.close()
    assert [each["step"] for each in lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_writer_that_hangs_costs_seconds_and_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LOCK_SECONDS", 0.05)
    sink = JsonlSink(tmp_path, resume_step=-1)
    hanging = os.open(tmp_path / "events.jsonl", os.O_RDWR)
    fcntl.flock(hanging, fcntl.LOCK_EX)
    with pytest.raises(SinkNotice, match="kept and tried again"):
        sink.record({"step": 1, "epoch": 1})
    os.close(hanging)
    with pytest.raises(SinkNotice, match="caught up with 1 line"):
        sink.event(Event("verdict", 1, "bound"))
    sink.close()
    assert lines(tmp_path / "metrics.jsonl") == [{"step": 1, "epoch": 1}]
