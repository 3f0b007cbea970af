"""What a run waits for as it ends: the report of one that is over, not that of one that was asked to leave."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from swav_dali.run.sinks import RunReport
from swav_dali.watch.sinks.base import Event, SinkGroup

DRAWS = "import sys, time; time.sleep(float(sys.argv[1])); open('report.html', 'w').write('drawn')"


@pytest.mark.parametrize(("last", "seconds", "is_drawn"), [("end", 1.0, True), ("stop", 30.0, False)])
def test_a_run_that_leaves_does_not_wait_for_its_last_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, seconds: float, is_drawn: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    report = RunReport(tmp_path, every_minutes=60)
    report._command = [sys.executable, "-c", DRAWS, str(seconds)]
    began = time.monotonic()
    with SinkGroup([report]) as group:
        group.event(Event(last, 3, "over"))  # type: ignore[arg-type]
        group.event(Event("warning", 3, "something else is said afterwards"))
    assert (time.monotonic() - began < seconds) is not is_drawn
    assert (tmp_path / "report.html").exists() is is_drawn
    assert report._drawing is not None
    assert (report._drawing.poll() is None) is not is_drawn  # it draws on alone
    report._drawing.kill()
    report._drawing.wait()
