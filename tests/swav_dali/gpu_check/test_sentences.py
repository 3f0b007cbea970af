"""The sentences say what the figures say, name what falls short, and never guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swav_dali.gpu_check.figures import FIGURES
from swav_dali.gpu_check.record import Record
from swav_dali.gpu_check.sentences import sentences


def training(rate: float, wait: float = 0.01) -> dict[str, Any]:
    memory = {"torch_peak_gib": 30.0, "device_used_gib": 41.5}
    return {"batch": 256, "images_per_second": rate, "host_wait_share": 0.02, "device_wait_share": wait, **memory}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    made = Record(tmp_path / "figures.json", {}, "v1")
    values: dict[str, Any] = {
        "machine": {"device": "H200", "cores": 16, "versions": {"torch": "2.11.0"}},
        "training, big batch, synthetic input": training(1600, 0.0),
        "training, big batch, crops by gpu": training(1580),
        "training, big batch, crops by cpu": training(1500),
        "loader alone, crops by gpu": {"images_per_second": 6000, "cpu_ms_per_image": 0.5},
        "loader alone, crops by cpu": {"images_per_second": 3600, "cpu_ms_per_image": 4.0},
        "crops alone": {"images_per_second": 80_000, "cpu_ms_per_image": 0.1, "microseconds_per_image": 12.5},
    }
    for name, value in values.items():
        made.put(name, "ok", 1.0, {"value": value})
    return made


def test_rates_are_said_as_a_share_of_synthetic_input_with_waits_and_memory(record: Record) -> None:
    lines = sentences(record)
    assert lines[0] == "Measured on H200 with 16 cores; torch 2.11.0."
    assert (
        "Batch 256, crops by gpu: 1580 images/s, 98.8 % of synthetic input; device wait 1.0 %, host wait 2.0 %; "
        "41.5 GiB of the device in use, 30.0 of them torch's. Reaches the goals."
    ) in lines


def test_the_choice_names_its_price(record: Record) -> None:
    expected = (
        "Choose --data.crops-by gpu here. At 1580 images/s gpu takes 2.0 % of the device's time and 0.8 cores; "
        "cpu takes 6.3 cores."
    )
    assert expected in sentences(record)


def test_what_falls_short_of_a_goal_is_named(record: Record) -> None:
    record.put("training, big batch, crops by gpu", "ok", 1.0, {"value": training(1500, 0.05)})
    (line,) = [line for line in sentences(record) if "crops by gpu: 1500" in line]
    assert line.endswith("Falls short: below 97 %, device wait above 2 %.")


def test_what_was_not_found_is_listed_and_not_told(record: Record) -> None:
    lines = sentences(record)
    (missing,) = [line for line in lines if line.startswith("Not found: ")]
    found = set(record.figures)
    assert all((figure.name in missing) != (figure.name in found) for figure in FIGURES)
    assert not [line for line in lines if "resumed" in line and line != missing]
    record.put(
        "trainer killed and resumed",
        "ok",
        1,
        {"value": {"same_losses": False, "same_weights": True, "killed_after_step": 4}},
    )
    assert "A run killed after step 4 and resumed DIFFERS from one left alone." in sentences(record)
