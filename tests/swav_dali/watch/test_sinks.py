"""Every sink gets the same record; the file survives a cut line and a resume; a broken sink is dropped."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swav_dali.errors import CheckpointError, TrainingError
from swav_dali.watch.sinks.base import Event, Record, SinkGroup, SinkNotice
from swav_dali.watch.sinks.console import ConsoleSink
from swav_dali.watch.sinks.jsonl import JsonlSink, read_lines

ROOT = Path(__file__).parents[3]
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
        self.has_failed = False

    def record(self, record: Record) -> None:
        self.records.append(record)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def close(self, *, failed: bool = False) -> None:
        self.is_closed, self.has_failed = True, failed


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


BAD_LINES = [b'{"step": 4', b"[1, 2]", b"null", b'{"loss": 1.0}', b'{"step": "four"}', b'{"step": 4, "x": "\xff"}', b""]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_one_bad_line_is_left_out_and_blocks_nothing(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 0}\n' + bad + b'\n{"step": 8}\n')
    JsonlSink(tmp_path, resume_step=8).close()
    assert [json.loads(line)["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [0, 8]


def test_an_event_after_half_a_line_has_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"kind": "start"}\n{"kind": "che')
    sink = JsonlSink(tmp_path, resume_step=8)
    sink.event(Event("resume", 8, "again"))
    sink.close()
    assert [json.loads(line)["kind"] for line in (tmp_path / "events.jsonl").read_text().splitlines()] == [
        "start",
        "resume",
    ]


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """full_after(n): as with a full disk, a write takes only the n first bytes, then none; None is space again."""
    real, room = os.pwrite, [None]

    def write(descriptor: int, data: bytes, offset: int) -> int:
        if room[0] is None:
            return real(descriptor, data, offset)
        taken, room[0] = data[: room[0]], 0
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, taken, offset)

    def limit(num_bytes: int | None) -> None:
        room[0] = num_bytes

    monkeypatch.setattr("swav_dali.watch.sinks.jsonl.os.pwrite", write)
    return limit


def test_a_full_disk_for_a_while_loses_no_record_and_leaves_no_half_line(
    tmp_path: Path, full_after: Callable[[int | None], None]
) -> None:
    memory, path = Memory(), tmp_path / "metrics.jsonl"
    group = SinkGroup([JsonlSink(tmp_path, resume_step=-1), memory])
    group.record({"step": 1, "epoch": 1})
    full_after(7)
    for step in (2, 3):
        with pytest.warns(UserWarning, match="kept") if step == 2 else contextlib.nullcontext():
            group.record({"step": step, "epoch": 1})
        assert path.read_bytes() == b'{"step": 1, "epoch": 1}\n'
    full_after(None)
    with pytest.warns(UserWarning, match="caught up"):
        group.record({"step": 4, "epoch": 1})
    group.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    said = [event.text for event in memory.events]
    assert len(said) == 2
    assert "kept and tried again" in said[0]
    assert "caught up with 3 line(s) of metrics.jsonl and 1 of events.jsonl" in said[1]
    assert len(read_lines(tmp_path / "events.jsonl")) == 2


def test_lines_that_a_full_disk_never_takes_are_an_error_at_the_end(
    tmp_path: Path, full_after: Callable[[int | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swav_dali.watch.sinks.jsonl.CLOSE_SECONDS", 0.1)
    memory = Memory()
    group = SinkGroup([JsonlSink(tmp_path, resume_step=-1), memory])
    full_after(0)
    with pytest.warns(UserWarning, match="kept"):
        group.record(RECORD)
    with pytest.raises(TrainingError, match="found 1 line"):
        group.close()
    assert memory.is_closed


def test_a_run_that_failed_does_not_wait_for_room(
    tmp_path: Path, full_after: Callable[[int | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swav_dali.watch.sinks.jsonl.CLOSE_SECONDS", 1000.0)
    sink = JsonlSink(tmp_path, resume_step=-1)
    full_after(0)
    with pytest.raises(SinkNotice, match="kept"):
        sink.record(RECORD)
    with pytest.raises(TrainingError, match="found 1 line"):
        sink.close(failed=True)


def test_lines_that_are_lost_do_not_hide_what_ended_the_run() -> None:
    class Losing(Memory):
        def close(self, *, failed: bool = False) -> None:
            raise TrainingError("lines could not be written")

    def fail() -> None:
        with SinkGroup([Losing()]):
            raise CheckpointError("the checkpoint cannot be written")

    with pytest.warns(UserWarning, match="lines could not"), pytest.raises(CheckpointError):
        fail()


@pytest.mark.parametrize("fails", [False, True])
def test_every_sink_is_told_how_the_run_ended(fails: bool) -> None:
    memory = Memory()
    with contextlib.suppress(KeyboardInterrupt), SinkGroup([memory]):
        if fails:
            raise KeyboardInterrupt
    assert memory.is_closed
    assert memory.has_failed == fails


def test_a_console_whose_reader_has_gone_is_switched_off_and_nothing_else_ends() -> None:
    code = (
        "from swav_dali.watch.sinks.base import Event, SinkGroup\n"
        "from swav_dali.watch.sinks.console import ConsoleSink\n"
        "group = SinkGroup([ConsoleSink(total_steps=9, start_step=0, epochs=1)])\n"
        "for step in range(2000): group.event(Event('start', step, 'a line of some length'))\n"
        "group.close(); import sys; sys.exit(3)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        said = errors.read().decode()
    assert process.wait(60) == 3
    assert "no one reads standard output" in said


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
