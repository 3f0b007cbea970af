"""wandb against a server on loopback: what arrives, what a resume continues, and a server that fails in mid-run."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from wandb_server import WandbServer, reaping, wandb_server

from swav_dali.watch.pictures import Gallery, Row, write_gallery
from swav_dali.watch.sinks import wandb as sink_module
from swav_dali.watch.sinks.base import Event, SinkGroup, SinkNotice
from swav_dali.watch.sinks.wandb import WandbExtras, WandbSink

RUN = "abc"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    with wandb_server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("WANDB_SILENT", "true")
        monkeypatch.setattr(sink_module, "_tear_down", reaping(sink_module._tear_down))
        sink_module.wandb.teardown()  # an earlier test of this process may have made wandb read the environment
        yield server
    sink_module.wandb.teardown()


def open_sink(folder: Path, **changes: Any) -> WandbSink:
    return WandbSink(
        folder, **{"mode": "online", "project": "p", "name": "n", "run_id": RUN, "config": {"seed": 1}, **changes}
    )


def record(step: int) -> dict[str, float]:
    return {"step": step, "epoch": 1, "images_seen": 4 * step, "loss": 5.0 - step / 10}


def test_every_record_arrives_under_its_step_with_config_axes_and_summaries(
    tmp_path: Path, server: WandbServer
) -> None:
    with SinkGroup([open_sink(tmp_path)]) as group:
        for step in (1, 2, 3):
            group.record(record(step))
        group.event(Event("verdict", 3, "model-bound"))
    rows = server.history(RUN)
    assert [(row["_step"], row["Learning/loss"], row["Place/images_seen"]) for row in rows] == [
        (1, 4.9, 4),
        (2, 4.8, 8),
        (3, 4.7, 12),
    ]
    summary = json.loads(server.lines[f"{RUN}/wandb-summary.json"][-1])
    assert summary["Learning/loss"] == {"min": 4.7, "last": 4.7}
    assert summary["event/verdict"] == "model-bound"
    told = [each["variables"] for each in server.questions if each["operationName"] == "UpsertBucket"]
    assert {each["name"] for each in told} == {RUN}
    assert any(json.loads(each["config"] or "{}").get("seed", {}).get("value") == 1 for each in told)


def test_a_resume_continues_the_same_run_after_its_last_step(tmp_path: Path, server: WandbServer) -> None:
    last = json.dumps({"_step": 7, "_runtime": 3})
    counts = {"historyLineCount": 7, "eventsLineCount": 0, "logLineCount": 0}
    tails = {"historyTail": json.dumps([last]), "eventsTail": "[]", "summaryMetrics": last, "config": "{}"}
    server.known[RUN] = {
        "id": "aWQ=",
        "name": RUN,
        "displayName": "n",
        "wandbConfig": json.dumps({"t": 1}),
        **counts,
        **tails,
    }
    sink = open_sink(tmp_path)
    assert sink.next_step == 8
    for step in (6, 7, 8, 9):
        sink.record(record(step))
    sink.close()
    assert [row["_step"] for row in server.history(RUN)] == [8, 9]


@pytest.mark.parametrize("trouble", ["silent", "refusing"])
def test_a_server_that_fails_in_mid_run_stops_nothing_and_holds_nothing_up(
    tmp_path: Path, server: WandbServer, trouble: str
) -> None:
    sink = open_sink(tmp_path, extras=WandbExtras(alerts=True))
    group = SinkGroup([sink])
    group.record(record(1))
    server.be_silent() if trouble == "silent" else server.refuse()
    began = time.monotonic()
    for step in range(2, 1000):
        group.record(record(step))
    group.event(Event("health", 999, "collapse"))
    logged = time.monotonic()
    with pytest.warns(UserWarning, match="did not close: no answer within 5 s: `python -m swav_dali wandb RUN"):
        group.close()
    assert logged - began < 30  # what 999 records take
    assert time.monotonic() - logged < 10
    assert list(tmp_path.glob("wandb/run-*/*.wandb"))  # for wandb sync


def gallery(folder: Path) -> Path:
    box = io.BytesIO()
    Image.new("RGB", (30, 10), (250, 0, 0)).save(box, "JPEG")
    write_gallery(Gallery("crops", 1, "crops", [Row("picture 1", box.getvalue())]), folder / "pictures" / "crops.json")
    return folder / "pictures" / "crops.json"


def test_tables_checkpoints_and_alerts_are_sent_if_asked_for(tmp_path: Path, server: WandbServer) -> None:
    checkpoint = tmp_path / "step-00000002"
    checkpoint.mkdir()
    (checkpoint / "shared.pt").write_bytes(b"weights")
    meta = {"step": 2, "epoch": 1, "world_size": 1, "files": {"shared.pt": {"bytes": 7, "sha256": "e3"}}}
    (checkpoint / "meta.json").write_text(json.dumps(meta))
    sent: dict[str, list[Any]] = {"log": [], "artifact": [], "alert": []}
    for wanted in (False, True):
        sink = open_sink(tmp_path, mode="offline", extras=WandbExtras(tables=wanted, checkpoints=wanted, alerts=wanted))
        run = sink._run
        run.log = lambda data, step: sent["log"].append((data, step))  # type: ignore[method-assign]
        run.log_artifact = lambda artifact, aliases: sent["artifact"].append((artifact, aliases))  # type: ignore
        run.alert = lambda *words, level: sent["alert"].append(words)  # type: ignore[method-assign]
        sink.event(Event("pictures", 1, "crops", str(gallery(tmp_path))))
        sink.event(Event("checkpoint", 2, "checkpoint", str(checkpoint)))
        for text in ("model-bound", "input-bound"):
            sink.event(Event("verdict", 2, text))
        sink.close()
        assert wanted or not any(sent.values())
    ((data, step),) = sent["log"]
    table = data["Pictures/crops"]
    assert (step, table.columns, table.data[0][0]) == (1, ["what", "pictures"], "picture 1")
    assert table.data[0][1].image.getpixel((5, 5))[0] > 240
    ((artifact, aliases),) = sent["artifact"]
    assert artifact.metadata["files"]["shared.pt"]["sha256"] == "e3"
    assert set(artifact.manifest.entries) == {"meta.json", "shared.pt"}
    assert aliases == ["latest", "step-00000002"]
    assert sent["alert"] == [("verdict at step 2", "input-bound")]


def test_a_picture_or_checkpoint_that_is_gone_costs_a_word(tmp_path: Path, server: WandbServer) -> None:
    sink = open_sink(tmp_path, mode="offline", extras=WandbExtras(tables=True, checkpoints=True))
    for kind in ("pictures", "checkpoint"):
        with pytest.raises(SinkNotice, match="not sent to wandb: what"):
            sink.event(Event(kind, 1, "what", str(tmp_path / "gone")))  # type: ignore[arg-type]
    sink.record(record(1))
    sink.close()


def test_a_gallery_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = json.loads(gallery(tmp_path).read_text())
    assert base64.b64decode(content["rows"][0]["jpeg"]).startswith(b"\xff\xd8")
