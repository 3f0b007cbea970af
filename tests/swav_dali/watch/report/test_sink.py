"""report.html is drawn while a run goes, and a drawing that fails costs the report, not the run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from swav_dali.watch.sinks import report
from swav_dali.watch.sinks.report import ReportSink

RECORD = {"step": 1, "epoch": 1}


def sink_that_runs(folder: Path, code: str, *, every_minutes: float = 0.0) -> ReportSink:
    sink = ReportSink(folder, every_minutes=every_minutes)
    sink._command = [sys.executable, "-c", code]
    return sink


def test_a_record_starts_a_drawing_that_nobody_waits_for_and_never_a_second_beside_it(tmp_path: Path) -> None:
    code = f"import time, pathlib; pathlib.Path({str(tmp_path)!r}, str(time.time_ns())).touch(); time.sleep(60)"
    sink = sink_that_runs(tmp_path, code)
    began = time.monotonic()
    for _ in range(50):
        sink.record(RECORD)
    assert time.monotonic() - began < 30
    while not list(tmp_path.iterdir()):
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 1
    assert sink._drawing is not None
    sink._drawing.kill()
    sink._drawing.wait()


def test_before_its_interval_nothing_is_drawn(tmp_path: Path) -> None:
    sink = sink_that_runs(tmp_path, "", every_minutes=5)
    sink.record(RECORD)
    assert sink._drawing is None


def test_the_end_is_drawn_and_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tmp_path / "done"
    sink_that_runs(tmp_path, f"open({str(done)!r}, 'w')").close()
    assert done.exists()
    with pytest.raises(OSError, match="was not drawn"):
        sink_that_runs(tmp_path, "raise SystemExit(3)").close()
    monkeypatch.setattr(report, "CLOSE_SECONDS", 0.5)
    with pytest.raises(OSError, match="no report within"):
        sink_that_runs(tmp_path, "import time; time.sleep(60)").close()
