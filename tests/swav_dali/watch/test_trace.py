"""A trace of the asked steps appears whole, once per kind, and no more than a folder may hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from swav_dali.watch import trace as module
from swav_dali.watch.trace import STEPS, Tracer

CPU = torch.device("cpu")
KIND = "input-bound by storage"


def steps(tracer: Tracer, count: int) -> list[str | None]:
    said = []
    for _ in range(count):
        torch.ones(8).add_(1)
        said.append(tracer.step())
    return said


def test_a_trace_holds_the_steps_asked_for_and_is_taken_once(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "traces", is_on=True, device=CPU)
    assert tracer.wants(KIND)
    tracer.begin(KIND, 40)
    assert not tracer.wants("straggler rank 1")  # one at a time
    assert set(steps(tracer, STEPS - 1)) == {None}
    assert list((tmp_path / "traces").glob("*")) == []
    assert steps(tracer, 5) == [None] * 5
    assert tracer.has_run()
    assert not tracer.has_run()
    (path,) = (tmp_path / "traces").iterdir()
    assert path == tracer.path(KIND, 40)
    assert path.name == "step-00000040-input-bound-by-storage.json.gz"
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    assert sum(event.get("name") == "aten::add_" for event in events) == STEPS
    assert not Tracer(tmp_path / "traces", is_on=True, device=CPU).wants(KIND)  # nor after a resume
    assert Tracer(tmp_path / "traces", is_on=True, device=CPU).wants("straggler rank 1")


def test_nothing_is_traced_unless_asked_for(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "traces", is_on=False, device=CPU)
    assert not tracer.wants(KIND)
    assert steps(tracer, 3) == [None] * 3
    assert not tracer.has_run()
    assert list(tmp_path.iterdir()) == []


def test_size_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MIB", 0)
    tracer = Tracer(tmp_path, is_on=True, device=CPU)
    tracer.begin(KIND, 1)
    assert steps(tracer, STEPS)[-1] == "the trace is larger than 0 MiB and is not kept"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(module, "MOST_TRACES", 1)
    (tmp_path / "step-00000001-model-bound.json.gz").touch()
    assert not tracer.wants(KIND)


def test_a_folder_that_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tracer = Tracer(tmp_path / "file" / "traces", is_on=True, device=CPU)
    tracer.begin(KIND, 1)
    said = steps(tracer, STEPS)[-1]
    assert said is not None
    assert said.startswith("the trace cannot be written: ")
