"""The page in headless Chromium, where there is one: panels are drawn, nothing is complained of or asked for."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from browser import CHROMIUM, browser
from PIL import Image

from swav_dali.watch.pictures import CROPS, Gallery, Row, write_gallery
from swav_dali.watch.report.page import write_report

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


ALL_DRAWN = "window.Bokeh && Bokeh.documents.length == %d && Bokeh.documents.every(d => d.is_idle)"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_three_runs_of_a_hundred_thousand_records_are_drawn(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, 100_000) for name in ("a", "b", HOSTILE.replace("/", "_"))]
    red = Image.new("RGB", (400, 100), (250, 0, 0))
    box = io.BytesIO()
    red.save(box, "JPEG")
    write_gallery(Gallery("crops", 0, HOSTILE, [Row(HOSTILE, box.getvalue())]), runs[0] / CROPS)
    page = tmp_path / "page.html"
    write_report(runs, page)
    assert page.stat().st_size < 4e6
    with browser(tmp_path) as opened:
        for phone in (False, True):
            opened.look(width=390 if phone else 1200, height=800, phone=phone, dark=phone)
            opened.open(page.as_uri())
            opened.wait_for(ALL_DRAWN % 5, seconds=300)  # two panels of lines, three stacks of parts
            assert opened.complaints() == []
            assert opened.asked() == [page.as_uri()]
            assert opened.value("document.documentElement.scrollWidth <= window.innerWidth")
            assert opened.value("document.querySelectorAll('.pictures img').length") == 1
            assert opened.value("[...document.images].every(i => i.complete && i.naturalWidth == 400)")
            losses = opened.value(
                "Bokeh.documents.flatMap(d => d.roots()[0].renderers)"
                ".filter(r => r.name == 'a loss').flatMap(r => [...r.data_source.data.y])"
            )
            assert (max(losses), min(losses)) == (8 - 1 / 100_000, 7.0)
            assert opened.shot(tmp_path / "shot.png").stat().st_size > 10_000
