"""Records become columns: in the order of their steps, of whatever keys, and what is no number is none."""

from __future__ import annotations

import math

import numpy as np

from swav_dali.watch.report.columns import read_columns


def test_every_number_stands_once_at_its_step() -> None:
    records = [{"step": step, "loss": step / 8, "lr": 0.5} for step in range(1, 3001)]
    columns = read_columns(records)
    assert columns["loss"].steps.tolist() == list(range(1, 3001))
    assert columns["loss"].values.tolist() == [step / 8 for step in range(1, 3001)]
    assert set(columns) == {"step", "loss", "lr"}


def test_records_of_other_keys_and_late_ones_take_their_place() -> None:
    late = {"linear_top1": 0.5, "step": 2}
    records = [{"step": 1, "loss": 3.0}, {"step": 3, "loss": 1.0, "knn_top1": 0.25}, {"loss": 2.0, "step": 2}, late]
    columns = read_columns(records)
    assert (columns["loss"].steps.tolist(), columns["loss"].values.tolist()) == ([1, 2, 3], [3.0, 2.0, 1.0])
    assert (columns["knn_top1"].steps.tolist(), columns["knn_top1"].values.tolist()) == ([3], [0.25])
    assert columns["linear_top1"].steps.tolist() == [2]


def test_what_is_no_number_or_has_no_step_or_no_name_is_none() -> None:
    strange = {"step": 2, "loss": "3.5", "lr": None, "invented": 1.0}
    columns = read_columns([{"step": 1, "loss": math.inf, "lr": 1}, strange, {"loss": 1.0}, {"step": "3", "loss": 1.0}])
    assert columns["loss"].steps.tolist() == [1, 2]
    assert np.array_equal(columns["loss"].values, [math.inf, math.nan], equal_nan=True)
    assert np.array_equal(columns["lr"].values, [1, math.nan], equal_nan=True)
    assert "invented" not in columns
    assert read_columns([]) == {}
