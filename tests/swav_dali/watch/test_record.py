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
from swav_dali.watch.record import BY_KEY, BY_NAME, FIGURES, combine, grouped_name, markdown_table, shown

ROOT = Path(__file__).parents[3]
NAN = float("nan")

# Every declared figure: its value on rank 0, on rank 1, and the keys of the record as combined by hand.
BY_HAND: dict[str, tuple[float, float, dict[str, float]]] = {
    "step": (7, 7, {"step": 7}),
    "epoch": (3, 3, {"epoch": 3}),
    "images_seen": (2.0**40 + 1, 2.0**40 + 1, {"images_seen": 2**40 + 1}),
    "seconds": (12.5, 12.75, {"seconds": 12.5}),
    "loss": (2, 5, {"loss": 3.5}),
    "ln_k": (4.25, 4.25, {"ln_k": 4.25}),
    "steps_skipped": (2, 2, {"steps_skipped": 2}),
    "lr": (0.1, 0.1, {"lr": 0.1}),
    "loss_scale": (1024, 1024, {"loss_scale": 1024}),
    "steps_overflowed": (4, 4, {"steps_overflowed": 4}),
    "queue_in_use": (1, 1, {"queue_in_use": 1}),
    "knn_top1": (0.5, 0.5, {"knn_top1": 0.5}),
    "knn_untrained": (0.25, 0.25, {"knn_untrained": 0.25}),
    "knn_pixels": (0.125, 0.125, {"knn_pixels": 0.125}),
    "linear_top1": (0.75, 0.75, {"linear_top1": 0.75}),
    "linear_top5": (0.875, 0.875, {"linear_top5": 0.875}),
    "published_linear_top1": (0.625, 0.625, {"published_linear_top1": 0.625}),
    "published_linear_top5": (0.9375, 0.9375, {"published_linear_top5": 0.9375}),
    "semisup_top1": (0.25, 0.25, {"semisup_top1": 0.25}),
    "semisup_top5": (0.375, 0.375, {"semisup_top5": 0.375}),
    "semisup_labelled_images": (120, 120, {"semisup_labelled_images": 120}),
    "knn_best_top1": (0.5625, 0.5625, {"knn_best_top1": 0.5625}),
    "knn_best_neighbours": (20, 20, {"knn_best_neighbours": 20}),
    "images_per_second": (100, 60, {"images_per_second": 160}),
    "images_per_second_per_rank": (100, 60, {"images_per_second_per_rank": 80}),
    "headspace_images_per_second": (200, 200, {"headspace_images_per_second": 200}),
    "headspace_share": (0.75, 0.75, {"headspace_share": 0.75}),
    "crops_per_second": (800, 480, {"crops_per_second": 1280}),
    "mb_per_second": (10, 6, {"mb_per_second": 16}),
    "storage_mb_per_second": (4, NAN, {"storage_mb_per_second": 4}),
    "model_tflops": (1.5, 0.5, {"model_tflops": 2}),
    "mfu": (0.25, 0.75, {"mfu": 0.5}),
    "seconds_per_step": (0.5, 0.75, {"seconds_per_step": 0.75}),
    "epoch_seconds_left": (10, 15, {"epoch_seconds_left": 15}),
    "seconds_left": (125, 100, {"seconds_left": 125}),
    "samples_replaced": (3, 4, {"samples_replaced": 7}),
    "data_wait_share": (0.5, 0.25, {"data_wait_share": 0.375, "data_wait_share_min": 0.25, "data_wait_share_max": 0.5}),
    "host_wait_share": (0, 1, {"host_wait_share": 0.5, "host_wait_share_min": 0, "host_wait_share_max": 1}),
    "data_ms": (8, 2, {"data_ms": 5, "data_ms_min": 2, "data_ms_max": 8}),
    "forward_ms": (30, 32, {"forward_ms": 31, "forward_ms_min": 30, "forward_ms_max": 32}),
    "codes_ms": (3, 4, {"codes_ms": 3.5, "codes_ms_min": 3, "codes_ms_max": 4}),
    "loss_ms": (1, 2, {"loss_ms": 1.5, "loss_ms_min": 1, "loss_ms_max": 2}),
    "backward_ms": (60, 50, {"backward_ms": 55, "backward_ms_min": 50, "backward_ms_max": 60}),
    "optimizer_ms": (6, 5, {"optimizer_ms": 5.5, "optimizer_ms_min": 5, "optimizer_ms_max": 6}),
    "collectives_ms": (12, 2, {"collectives_ms": 7, "collectives_ms_min": 2, "collectives_ms_max": 12}),
    "log_ms": (0.5, 0.25, {"log_ms": 0.375, "log_ms_min": 0.25, "log_ms_max": 0.5}),
    "checkpoint_ms": (NAN, 40, {"checkpoint_ms": 40, "checkpoint_ms_min": 40, "checkpoint_ms_max": 40}),
    "straggler_score": (0.5, 0.5, {"straggler_score": 0.5}),
    "data_straggler_score": (0.25, 0.25, {"data_straggler_score": 0.25}),
    "forward_straggler_score": (0.9375, 0.9375, {"forward_straggler_score": 0.9375}),
    "loss_straggler_score": (0.5, 0.5, {"loss_straggler_score": 0.5}),
    "backward_straggler_score": (0.875, 0.875, {"backward_straggler_score": 0.875}),
    "optimizer_straggler_score": (0.75, 0.75, {"optimizer_straggler_score": 0.75}),
    "slowest_rank": (1, 1, {"slowest_rank": 1}),
    "pipeline_busy_share": (0.5, 0.75, {"pipeline_busy_share": 0.625}),
    "pipeline_cpu_ms": (3, 4, {"pipeline_cpu_ms": 3.5}),
    "loop_crowded_share": (
        0.125,
        0.375,
        {"loop_crowded_share": 0.25, "loop_crowded_share_min": 0.125, "loop_crowded_share_max": 0.375},
    ),
    "pipeline_crowded_share": (
        0.5,
        0.75,
        {"pipeline_crowded_share": 0.625, "pipeline_crowded_share_min": 0.5, "pipeline_crowded_share_max": 0.75},
    ),
    "code_entropy": (NAN, 1.5, {"code_entropy": 1.5}),
    "prototypes_used": (0.875, 0.875, {"prototypes_used": 0.875}),
    "prototype_perplexity": (0.75, 0.75, {"prototype_perplexity": 0.75}),
    "top_prototype_share": (0.0625, 0.0625, {"top_prototype_share": 0.0625}),
    "duplicate_prototypes": (0.03125, 0.03125, {"duplicate_prototypes": 0.03125}),
    "embedding_spread": (0.9375, 0.9375, {"embedding_spread": 0.9375}),
    "rankme": (33.5, 33.5, {"rankme": 33.5}),
    "grad_norm": (2.5, 2.5, {"grad_norm": 2.5}),
    "update_ratio": (NAN, NAN, {}),
    "queue_fill": (0.5, 0.5, {"queue_fill": 0.5}),
    "queue_age_steps": (15, 15, {"queue_age_steps": 15}),
    "peak_memory_gib": (3, 5, {"peak_memory_gib": 5}),
    "device_memory_gib": (6, 4, {"device_memory_gib": 6}),
    "beside_torch_memory_gib": (1, 2, {"beside_torch_memory_gib": 2}),
    "allocator_retries": (1, 2, {"allocator_retries": 3}),
    "gpu_utilization": (0.5, 1, {"gpu_utilization": 0.75}),
    "gpu_power_watts": (500, 300, {"gpu_power_watts": 800}),
    "host_cpu_share": (0.25, 0.75, {"host_cpu_share": 0.5, "host_cpu_share_min": 0.25, "host_cpu_share_max": 0.75}),
    "other_cpu_share": (0.25, 0.5, {"other_cpu_share": 0.5}),
    "cpu_cores": (1.5, 2, {"cpu_cores": 3.5}),
    "rss_gib": (1.5, 1.75, {"rss_gib": 3.25}),
    "host_memory_share": (0.5, 0.25, {"host_memory_share": 0.5}),
}


def _record_of(world: World) -> dict[str, float]:
    on_device = ("loss", "code_entropy", "update_ratio")
    local = {
        name: torch.tensor(values[world.rank]) if name in on_device else values[world.rank]
        for name, values in BY_HAND.items()
    }
    return combine(gather(local, world))


def test_figures_of_two_ranks_combine_as_declared_on_both(run_ranks: Callable[..., list[Any]]) -> None:
    expected = {key: value for _, _, record in BY_HAND.values() for key, value in record.items()}
    assert run_ranks(_record_of, 2) == [expected, expected]


def test_no_figure_is_declared_without_its_line_above() -> None:
    assert set(BY_HAND) == {figure.name for figure in FIGURES}
    told = {name: record for name, (_, _, record) in BY_HAND.items() if record}
    assert all(tuple(told[name]) == BY_NAME[name].record_keys() for name in told)


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
