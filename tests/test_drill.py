"""The drill judges rightly: what is the same, what is one line, what differs; and a slope is told from noise."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.drill.soak import slope
from tests.drill.stable import Ended
from tests.drill.table import rows, write_page
from tests.drill.trial import Trial, Wrong, _difference


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path, tmp_path / "trial", random.Random(0), 1)


def ended(err: str, *codes: int) -> Ended:
    return Ended(codes=list(codes), out="", err=err, seconds=1.0, is_hung=False)


def test_one_line_said_by_two_ranks_is_one_line(trial: Trial) -> None:
    said = "error: a.tar: gone\nerror: rank 1: a.tar: gone\n"
    assert trial.refused(ended(said, 2, 2), "a.tar") == "refused"


@pytest.mark.parametrize(
    ("said", "code", "complaint"),
    [
        ("error: a\n", 0, "without a word"),
        ("Traceback (most recent call last):\nerror: a\n", 1, "traceback"),
        ("", 2, "0 error lines"),
        ("error: a\nerror: b\n", 2, "2 error lines"),
        ("error: a\n", 2, "does not say"),
    ],
)
def test_anything_else_is_wrong(trial: Trial, said: str, code: int, complaint: str) -> None:
    with pytest.raises(Wrong, match=complaint):
        trial.refused(ended(said, code), "shard")


def test_a_refusal_that_changed_a_file_is_wrong(trial: Trial) -> None:
    trial.run_folder.mkdir(parents=True)
    (trial.run_folder / "config.json").write_text("{}")
    with pytest.raises(Wrong, match=r"changed: config\.json"):
        trial.refused(ended("error: a\n", 2), before={"config.json": "another checksum"})


def test_one_bit_of_a_tensor_is_a_difference_and_a_clock_is_none() -> None:
    ours = {"model": {"w": torch.ones(3)}, "clock": {"step": 4, "seconds": 1.0}, "blob": b"x"}
    theirs = {"model": {"w": torch.ones(3)}, "clock": {"step": 4, "seconds": 9.0}, "blob": b"x"}
    assert _difference(ours, theirs) == ""
    ours["model"]["w"][1] = 1 + 2**-23
    assert _difference(ours, theirs) == "/model/w"
    assert _difference({**theirs, "blob": b"y"}, theirs) == "/blob"
    assert _difference({"model": 1}, theirs) == "keys"


def test_the_table_counts_by_kind_and_in_sum(tmp_path: Path) -> None:
    entries = [
        {"kind": "b", "verdict": "same bits", "note": ""},
        {"kind": "a", "verdict": "skipped", "note": "needs root"},
        {"kind": "b", "verdict": "WRONG", "note": "no"},
    ]
    assert rows(entries)[1:] == [
        ("a", "1", "", "", "", "1", "", ""),
        ("b", "2", "1", "", "", "", "1", ""),
        ("sum", "3", "1", "", "", "1", "1", ""),
    ]
    write_page(tmp_path / "page.md", entries, seed=7)
    assert "| **sum** | **3** | **1** |  |  | **1** | **1** |  |" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize("rise", [0.0, 0.5])
def test_a_slope_is_found_within_its_noise(rise: float) -> None:
    times = np.linspace(0, 30, 600)
    values = 1000 + rise * times + np.random.default_rng(0).normal(0, 3, 600)
    mean, found, noise = slope(list(times), list(values))
    assert mean == pytest.approx(1000 + rise * 18.75, abs=1)
    assert abs(found - rise) < 3 * noise
    assert noise < 0.05
