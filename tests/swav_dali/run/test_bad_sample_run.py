"""Two ranks meet a picture that went bad after indexing: both stop with its name, or both finish the epoch."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import training

SECONDS_TO_STOP = 30


@pytest.fixture
def damaged(tiny_data: Path, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the data whose first training picture is zeros after its first bytes, and the name errors give it."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    index = sorted((data / "train").glob("*.idx"))[0]
    _, offset, size, name = index.read_text().splitlines()[1].split()[:4]
    tar = index.with_suffix(".tar")
    content = bytearray(tar.read_bytes())
    content[int(offset) + 2 : int(offset) + int(size)] = bytes(int(size) - 2)
    tar.write_bytes(content)
    return data, f"{tar}: {name} at byte {offset}: cannot be decoded"


@pytest.mark.slow
def test_both_ranks_stop_in_time_with_the_samples_name(damaged: tuple[Path, str], tmp_path: Path) -> None:
    data, name = damaged
    options = {"knn__every_epochs": "1000", "checkpoint__every_steps": "1"}
    began = time.monotonic()
    done = training.run(training.command(data, tmp_path, "stop", ranks=2, **options), timeout=400)
    took = time.monotonic() - began
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if name in line and line.startswith("error: ")]
    assert len(said) == 2
    steps = training.records(tmp_path / "stop")
    assert took < SECONDS_TO_STOP + 60 + 2 * len(steps)  # a start with two imports of everything is within the 60


@pytest.mark.slow
def test_with_skip_both_ranks_finish_with_the_same_number_of_steps(damaged: tuple[Path, str], tmp_path: Path) -> None:
    data, name = damaged
    done = training.run(training.command(data, tmp_path, "skip", ranks=2, data__loader__on_error="skip"), timeout=400)
    assert done.returncode == 0, done.stderr
    assert name.removesuffix(": cannot be decoded") in done.stderr
    assert training.records(tmp_path / "skip")[-1]["step"] == 10
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "skip" / "events.jsonl").read_text().splitlines()]
    assert kinds[-1] == "end"
