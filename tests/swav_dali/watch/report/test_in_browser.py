"""The page in headless Chromium, where there is one: panels are drawn, nothing is complained of or asked for."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser, browser
from long_run import SPIKES, write_long_run
from PIL import Image

from swav_dali.watch.pictures import CROPS, Gallery, Row, write_gallery
from swav_dali.watch.report.page import write_report

HOSTILE = "<img src=x onerror=console.error(1)></script><script>console.error(2)</script>"
RECORDS = 100_000
IDLE = (
    "window.Bokeh && typeof waiting != 'undefined' && Bokeh.documents.length && Bokeh.documents.every(d => d.is_idle)"
)
IN_SIGHT = "panels.every((panel, i) => panel.getBoundingClientRect().top > innerHeight || !waiting.has(i))"
SINCE_OPENED = "Math.round(performance.now())"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, dict[int, dict[str, float]]]:
    """Three long runs with hostile strings, and the spikes of each."""
    root = tmp_path_factory.mktemp("runs")
    made = {root / name: seed for seed, name in enumerate(("a", "b", HOSTILE.replace("/", "_")))}
    spikes = {folder: write_long_run(folder, RECORDS, seed=seed) for folder, seed in made.items()}
    event = json.dumps({"time": 1, "kind": "verdict", "step": 1, "text": HOSTILE}) + "\n"
    for folder in spikes:
        (folder / "events.jsonl").write_text(event)
        (folder / "config.json").write_text(json.dumps({"name": HOSTILE}))
    box = io.BytesIO()
    Image.new("RGB", (400, 100), (250, 0, 0)).save(box, "JPEG")
    write_gallery(Gallery("crops", 0, HOSTILE, [Row(HOSTILE, box.getvalue())]), root / "a" / CROPS)
    return spikes


def drawn_line(opened: Browser, name: str) -> dict[int, float]:
    """The points of a line by step."""
    found: list[list[Any]] = opened.value(
        "Bokeh.documents.flatMap(d => d.roots()[0].renderers)"
        f".filter(r => r.name == {json.dumps(name)}).map(r => r.data_source.data).flatMap(d => [[...d.x], [...d.y]])"
    )
    steps, values = found
    return dict(zip(map(int, steps), values, strict=True))


def recorded(folder: Path, steps: set[int], key: str) -> dict[int, float]:
    """What metrics.jsonl says of a key at some steps, which are its lines."""
    with (folder / "metrics.jsonl").open() as file:
        told = {number: json.loads(line) for number, line in enumerate(file, 1) if number in steps}
    return {step: record[key] for step, record in told.items()}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_three_runs_of_a_hundred_thousand_records_are_drawn(
    runs: dict[Path, dict[int, dict[str, float]]], tmp_path: Path
) -> None:
    page, began = tmp_path / "page.html", time.process_time()
    write_report(list(runs), page)
    print(f"drawn in {time.process_time() - began:.1f} CPU-seconds, {page.stat().st_size / 1e6:.2f} MB")
    assert page.stat().st_size < 4e6
    with browser(tmp_path) as opened:
        for phone in (False, True):
            opened.look(width=390 if phone else 1200, height=800, phone=phone, dark=phone)
            opened.open(page.as_uri())
            seen = opened.wait_for(f"{IDLE} && {IN_SIGHT} && {SINCE_OPENED}", seconds=300)
            every = opened.wait_for(f"{IDLE} && waiting.size == 0 && {SINCE_OPENED}", seconds=300)
            print(f"{'phone' if phone else 'desktop'}: {seen} ms to what is in sight, {every} ms to the last panel")
            assert opened.value("Bokeh.documents.length == panels.length && panels.length") == 17
            assert opened.complaints() == []
            assert opened.asked() == [page.as_uri()]
            assert opened.value("document.documentElement.scrollWidth <= window.innerWidth")
            assert opened.value("document.querySelectorAll('.pictures img').length") == 1
            assert opened.value("[...document.images].every(i => i.complete && i.naturalWidth == 400)")
            assert opened.shot(tmp_path / "shot.png").stat().st_size > 10_000
        for folder, spikes in runs.items():
            planted = {key: step for step, told in spikes.items() for key in told}
            for key in ("loss", "images_per_second", "grad_norm"):
                line = drawn_line(opened, f"{folder.name} {key}")
                assert line[planted[key]] == SPIKES[key]
                assert len(line) <= 1000
                assert line == recorded(folder, set(line), key)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_on_paper_panels_stand_in_pairs_in_dark_ink(tmp_path: Path) -> None:
    write_long_run(tmp_path / "run", 20, seed=0)
    page = tmp_path / "page.html"
    write_report([tmp_path / "run"], page)
    with browser(tmp_path) as opened:
        opened.look(width=1200, height=300, dark=True)
        opened.open(page.as_uri())
        opened.wait_for("document.readyState == 'complete'", seconds=300)
        opened.value("window.dispatchEvent(new Event('beforeprint'))")
        opened.wait_for(f"waiting.size == 0 && {IDLE}", seconds=300)
        opened.look(width=718, height=1000, dark=True, media="print")  # A4 without its margins
        boxes = opened.value("panels.map(panel => panel.getBoundingClientRect().toJSON())")
        assert boxes[0]["top"] == boxes[1]["top"]
        assert boxes[0]["right"] <= boxes[1]["left"] + 1
        assert max(box["right"] for box in boxes) <= 718
        assert opened.value("getComputedStyle(document.body).color") == "rgb(28, 33, 38)"
        assert opened.value("document.querySelectorAll('.panels > div:has(> div:empty)').length") == 0
        assert opened.complaints() == []
