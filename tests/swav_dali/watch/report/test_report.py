"""The report shows what metrics.jsonl holds, thinned with its extremes, and nothing a run is called becomes HTML."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import math
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from swav_dali.errors import ConfigError
from swav_dali.watch.pictures import CROPS, Gallery, Row, write_gallery
from swav_dali.watch.report.columns import Curve
from swav_dali.watch.report.page import render, write_report
from swav_dali.watch.report.runs import read_run, thin
from swav_dali.watch.report.serving import ReportServer

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>$$\\evil$$"


def make_run(folder: Path, *, records: int = 30, text: str = "model-bound: fine; try nothing") -> Path:
    folder.mkdir(parents=True)
    lines = [
        {
            "step": 50 * i,
            "epoch": 1,
            "loss": 8 * math.exp(-i / records),
            "ln_k": 8.006,
            "images_per_second": 1200.0 + i % 7,
            "headspace_images_per_second": 1300.0,
            "seconds_per_step": 0.2,
            "data_ms": 10.0,
            "data_ms_min": 5.0,
            "data_ms_max": 20.0,
            "forward_ms": 60.0,
        }
        for i in range(1, records + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "events.jsonl").write_text(json.dumps({"time": 1.0, "kind": "verdict", "step": 50, "text": text}) + "\n")
    (folder / "config.json").write_text(json.dumps({"name": folder.name, "optim.epochs": records, "note": text}))
    return folder


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def numbers_drawn(page: str) -> set[float]:
    """Every number of bokeh's arrays, which travel as base64 of gzipped or plain float64."""
    found = set[float]()
    for text in re.findall(r'"data":"([A-Za-z0-9+/=]+)"\},"shape":\[\d+\],"dtype":"float64"', page):
        content = base64.b64decode(text)
        plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        found |= set(np.frombuffer(plain, "<f8").tolist())
    return found


def test_every_value_of_a_short_run_is_drawn_and_the_verdict_stands_on_top(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    page = render([read_run(run)])
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = {record[key] for record in records for key in ("loss", "images_per_second")}
    assert expected <= numbers_drawn(page)
    text = " ".join(Tags(page).text)
    assert text.index("model-bound: fine") < text.index("Throughput")
    for title in ("Parts of a step: one", "Fastest to slowest rank: one", "Loss, dashed: ln K"):
        assert title in page


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    page = render([read_run(make_run(tmp_path / "one"))])
    asked = [attrs[key] for _, attrs in Tags(page).tags for key in ("src", "href", "action") if key in attrs]
    assert asked == []
    assert "default-src 'none'" in page


def test_names_and_strings_do_not_become_html(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "_")
    hostile = Tags(render([read_run(make_run(tmp_path / name, text=HOSTILE))]))
    plain = Tags(render([read_run(make_run(tmp_path / "plain", text="plain"))]))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not any(key.startswith("on") for _, attrs in hostile.tags for key in attrs)
    assert HOSTILE in " ".join(hostile.text)


def test_pictures_are_in_the_page_and_their_captions_do_not_become_html(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    plain = Tags(render([read_run(run)]))
    jpegs = [b"\xff\xd8 first", b"\xff\xd8 second"]
    write_gallery(Gallery("crops", 0, HOSTILE, [Row(HOSTILE, jpeg) for jpeg in jpegs]), run / CROPS)
    shown = Tags(render([read_run(run)]))
    sources = [attrs["src"] for tag, attrs in shown.tags if tag == "img"]
    assert sources == [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in jpegs]
    extra = [tag for tag, _ in shown.tags if tag in ("script", "h2", "figure", "img", "div")]
    ours = [tag for tag, _ in plain.tags if tag in ("script", "h2", "div")]
    assert sorted(extra) == sorted([*ours, "h2", "div", *2 * ["figure", "img"]])


def test_several_runs_are_laid_over_each_other_and_options_that_differ_stand_out(tmp_path: Path) -> None:
    page = render([read_run(make_run(tmp_path / "a")), read_run(make_run(tmp_path / "b", records=20))])
    assert page.count('class="run"') == 2
    assert '<tr class="other"><td>optim.epochs</td><td>30</td><td>20</td></tr>' in page
    assert "<tr><td>note</td>" in page
    assert page.count("Loss, dashed: ln K") == 1


def test_long_curves_keep_their_extremes_their_ends_and_their_order() -> None:
    steps = np.arange(100_000.0)
    values = np.sin(steps / 5000)
    values[31_337], values[77_777] = -50, 99
    thinned = thin(Curve(steps, values))
    assert len(thinned.steps) <= 1000
    assert thinned.values.min() == -50
    assert thinned.values.max() == 99
    assert (thinned.steps[0], thinned.steps[-1]) == (0, 99_999)
    assert (np.diff(thinned.steps) > 0).all()
    assert np.array_equal(thinned.values, values[thinned.steps.astype(int)])
    short = Curve(steps[:1000], values[:1000])
    assert thin(short) is short


def test_a_part_that_a_record_does_not_tell_took_no_time(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", records=9)
    told = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told[4]["checkpoint_ms"] = 80.0
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    curves = read_run(run).curves
    assert curves["checkpoint_ms"].values.tolist() == [0, 0, 0, 0, 80, 0, 0, 0, 0]
    assert curves["checkpoint_ms"].steps.tolist() == curves["data_ms"].steps.tolist() == [50 * i for i in range(1, 10)]


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "one")
    write_report([run], run / "report.html")
    before = (run / "report.html").read_text()
    assert before.endswith("</html>\n")

    def fail(*args: object, **kwargs: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("swav_dali.watch.report.page.render", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report([run], run / "report.html")
    assert (run / "report.html").read_text() == before
    assert {path.name for path in run.iterdir()} == {"metrics.jsonl", "events.jsonl", "config.json", "report.html"}


def test_what_is_no_run_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run folder"):
        read_run(tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[ReportServer, Path]]:
    run = make_run(tmp_path / "one")
    (tmp_path / "secret.txt").write_text("secret")
    with ReportServer([run], 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server, run
        server.shutdown()
        thread.join()


def get(server: ReportServer, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_only_the_page_is_served_and_only_to_this_machine(served: tuple[ReportServer, Path]) -> None:
    server, run = served
    assert server.server_address[0] == "127.0.0.1"
    for address in ("/", "/report.html"):
        status, page = get(server, address)
        assert status == 200
        assert 'http-equiv="refresh"' in page
    for address in ("/../secret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/metrics.jsonl", f"{run}/config.json"):
        status, answer = get(server, address)
        assert status == 404, address
        assert "secret" not in answer.replace("secret.txt", "")
    assert get(server, "/", host="evil.example")[0] == 403


def test_a_port_that_is_taken_is_said(served: tuple[ReportServer, Path]) -> None:
    server, run = served
    with pytest.raises(ConfigError, match="choose another port"):
        ReportServer([run], server.server_address[1])
