"""Figures are declared once: over ranks they combine as declared, and the documented table is the declarations."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from swav_dali.ranks.world import World
from swav_dali.watch.gather import gather
from swav_dali.watch.record import BY_KEY, FIGURES, combine, grouped_name, markdown_table, shown

ROOT = Path(__file__).parents[3]
NAN = float("nan")

BY_RANK = {  # figure: value on rank 0, on rank 1
    "step": (7.0, 7.0),
    "images_seen": (2.0**40 + 1, 2.0**40 + 1),
    "loss": (2.0, 5.0),
    "images_per_second": (100.0, 60.0),
    "seconds_per_step": (0.5, 0.75),
    "samples_replaced": (3.0, 4.0),
    "data_ms": (8.0, 2.0),
    "code_entropy": (NAN, 1.5),
    "peak_memory_gib": (NAN, NAN),
}
BY_HAND = {
    "step": 7,
    "images_seen": 2**40 + 1,
    "loss": 3.5,
    "images_per_second": 160.0,
    "seconds_per_step": 0.75,
    "samples_replaced": 7,
    "data_ms": 5.0,
    "data_ms_min": 2.0,
    "data_ms_max": 8.0,
    "code_entropy": 1.5,
}


def _record_of(world: World) -> dict[str, float]:
    on_device = ("loss", "code_entropy")
    local = {
        name: torch.tensor(values[world.rank]) if name in on_device else values[world.rank]
        for name, values in BY_RANK.items()
    }
    return combine(gather(local, world))


def test_figures_of_two_ranks_combine_as_declared_on_both(run_ranks: Callable[..., list[Any]]) -> None:
    assert run_ranks(_record_of, 2) == [BY_HAND, BY_HAND]


def test_one_rank_has_no_spread_and_keeps_what_it_said() -> None:
    record = _record_of(World(rank=0, size=1, local_rank=0, device=torch.device("cpu")))
    assert "data_ms_min" not in record
    assert (record["data_ms"], record["loss"], record["images_per_second"]) == (8.0, 2.0, 100.0)
    assert isinstance(record["step"], int)


def test_three_ranks_have_the_median_in_the_middle() -> None:
    assert combine({"data_ms": [9.0, 1.0, 2.0]}) == {"data_ms": 2.0, "data_ms_min": 1.0, "data_ms_max": 9.0}


def test_float32_values_arrive_as_they_were() -> None:
    value = torch.tensor(4.245412349700928)
    local = {"loss": value, "lr": 0.1}
    gathered = gather(local, World(rank=0, size=1, local_rank=0, device=torch.device("cpu")))
    assert gathered == {"loss": [value.item()], "lr": [0.1]}


def test_what_is_not_declared_cannot_be_recorded() -> None:
    with pytest.raises(KeyError, match="surprise"):
        combine({"surprise": [1.0]})


def test_names_are_declared_once_and_no_key_means_two_figures() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert len(BY_KEY) == sum(len(figure.record_keys()) for figure in FIGURES)
    assert all(figure.axis in BY_KEY for figure in FIGURES)


def test_the_documented_table_is_the_declarations() -> None:
    assert markdown_table() in (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("knn_top1", 0.5, "50.0%"),
        ("loss", 4.0, "4.0000"),
        ("lr", 0.00123456, "0.001235"),
        ("images_per_second", 321.4, "321 images/s"),
        ("step", 12000, "12000"),
        ("data_ms_max", 1.23456, "1.23 ms"),
        ("seconds_per_step", math.pi, "3.14 s"),
    ],
)
def test_values_are_shown_with_their_unit(key: str, value: float, text: str) -> None:
    assert shown(key, value) == text


def test_dashboards_group_by_what_stands_before_the_slash() -> None:
    assert grouped_name("data_ms_max") == "Where the time goes/data_ms_max"
