"""The page in headless Chromium, where there is one: panels are drawn, nothing is complained of or asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from swav_dali.watch.report.page import write_report

CHROMIUM = shutil.which("chromium")
HOSTILE = "<img src=x onerror=console.error(1)></script><script>console.error(2)</script>"


def make_run(folder: Path, records: int) -> Path:
    folder.mkdir(parents=True)
    with (folder / "metrics.jsonl").open("w") as file:
        for i in range(1, records + 1):
            record = {"step": i, "epoch": 1, "loss": 8 - i / records, "ln_k": 8.0, "images_per_second": 900.0 + i % 9}
            parts = {"seconds_per_step": 0.1, "data_ms": 5.0, "forward_ms": 40.0, "backward_ms": 50.0}
            file.write(json.dumps({**record, **parts}) + "\n")
    (folder / "events.jsonl").write_text(json.dumps({"time": 1, "kind": "verdict", "step": 1, "text": HOSTILE}) + "\n")
    (folder / "config.json").write_text(json.dumps({"name": HOSTILE}))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_three_runs_of_a_hundred_thousand_records_are_drawn(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, 100_000) for name in ("a", "b", HOSTILE.replace("/", "_"))]
    page = tmp_path / "page.html"
    write_report(runs, page)
    assert page.stat().st_size < 4e6
    watch = """<script>new PerformanceObserver(list => list.getEntries().forEach(e => console.log("asked " + e.name)))
      .observe({type: "resource", buffered: true});
      document.addEventListener("securitypolicyviolation", e => console.log("asked " + e.blockedURI));
      const timer = setInterval(() => { const panels = [...document.querySelectorAll(".panels > div > div")];
        if (window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)) { clearInterval(timer);
          console.log("drawn " + panels.length + " idle " + Math.round(performance.now())); } }, 20);</script></body>"""
    page.write_text(page.read_text().replace("</body>", watch))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=30000"]
    shot = tmp_path / "shot.png"
    done = subprocess.run(
        [str(CHROMIUM), *options, "--window-size=1200,1600", f"--screenshot={shot}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert any("drawn 5 idle" in line for line in console), console  # two panels of lines, three stacks of parts
    assert not [line for line in console if "asked" in line or ":ERROR:" in line or "rror" in line.split('"')[1]], (
        console
    )
    assert shot.stat().st_size > 10_000
