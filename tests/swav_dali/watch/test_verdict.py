"""One line says what bounds the speed: planted figures of every fault, and a clean run that has none."""

from __future__ import annotations

import random

import pytest

from swav_dali.watch.headspace import Headspace
from swav_dali.watch.straggler import find_straggler, part_scores
from swav_dali.watch.verdict import judge

CLEAN = {
    "seconds_per_step": [0.100, 0.100],
    "images_per_second": [640.0, 640.0],
    "data_wait_share": [0.01, 0.02],
    "data_ms": [1.0, 2.0],
    "forward_ms": [30.0, 31.0],
    "codes_ms": [3.0, 3.0],
    "collectives_ms": [4.0, 3.0],
    "loss_ms": [2.0, 2.0],
    "backward_ms": [55.0, 54.0],
    "optimizer_ms": [4.0, 4.0],
    "log_ms": [0.1, 0.1],
    "checkpoint_ms": [0.5, 0.5],
    "pipeline_busy_share": [0.4, 0.4],
    "pipeline_cpu_ms": [4.0, 4.0],
    "loop_crowded_share": [0.01, 0.02],
    "pipeline_crowded_share": [0.0, 0.0],
    "other_cpu_share": [0.4, 0.4],
}
HEADSPACE = Headspace(images_per_second=1300.0, seconds_per_step=0.098)
WAITING = {
    "data_wait_share": [0.55, 0.5],
    "data_ms": [55.0, 50.0],
    "forward_ms": [14.0, 14.0],
    "backward_ms": [25.0, 25.0],
}
SLOWER = {"seconds_per_step": [0.13, 0.13]}
FAULTS = {
    "input-bound by storage": ({**WAITING, "pipeline_busy_share": [0.2, 0.2]}, None),
    "input-bound by decode": ({**WAITING, "pipeline_busy_share": [0.95, 0.9], "pipeline_cpu_ms": [20.0, 20.0]}, 15.0),
    "input-bound by crops": ({**WAITING, "pipeline_busy_share": [0.95, 0.9], "pipeline_cpu_ms": [20.0, 20.0]}, 3.0),
    "straggler rank 1": (
        {
            "forward_ms": [30.0, 60.0],
            "codes_ms": [33.0, 3.0],
            "collectives_ms": [34.0, 3.0],
            "seconds_per_step": [0.13, 0.13],
        },
        None,
    ),
    "straggler rank 0": (
        {
            "data_ms": [40.0, 1.0],
            "data_wait_share": [0.4, 0.01],
            "backward_ms": [55.0, 94.0],
            "collectives_ms": [3.0, 42.0],
            "seconds_per_step": [0.14, 0.14],
        },
        None,
    ),
    "checkpoint-bound": ({"checkpoint_ms": [40.0, 38.0]}, None),
    "optimizer-bound": ({"optimizer_ms": [30.0, 30.0], "seconds_per_step": [0.126, 0.126]}, None),
    "crowded host": ({"loop_crowded_share": [0.3, 0.35], "forward_ms": [40.0, 43.0]}, None),
    "communication-bound": ({"collectives_ms": [30.0, 31.0], "backward_ms": [85.0, 86.0], **SLOWER}, None),
    "log-bound": ({"log_ms": [25.0, 24.0], "seconds_per_step": [0.125, 0.125]}, None),
}


@pytest.mark.parametrize("bound", FAULTS)
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_fault_is_named_with_noise_of_five_percent(bound: str, seed: int) -> None:
    noise = random.Random(seed)
    changes, decode_ms = FAULTS[bound]
    figures = {**CLEAN, **changes}
    noisy = {name: [value * noise.uniform(0.95, 1.05) for value in values] for name, values in figures.items()}
    verdict = judge(noisy, HEADSPACE, decode_ms)
    assert verdict.bound == bound
    assert "; try " in str(verdict)


@pytest.mark.parametrize("seed", range(5))
def test_a_clean_run_is_bound_by_its_model(seed: int) -> None:
    noise = random.Random(seed)
    noisy = {name: [value * noise.uniform(0.95, 1.05) for value in values] for name, values in CLEAN.items()}
    verdict = judge(noisy, HEADSPACE)
    assert verdict.bound == "model-bound"
    assert "of what it does without data; backward takes" in verdict.reason


def test_a_rate_far_below_the_headspace_is_not_called_the_models_limit() -> None:
    fast = Headspace(images_per_second=2000.0, seconds_per_step=0.064)
    assert judge(CLEAN, fast).bound == "slower than it could be"
    assert "64%" in judge(CLEAN, fast).reason


def test_a_part_that_has_grown_since_the_headspace_was_measured_is_named() -> None:
    before = {"forward": 0.015, "backward": 0.054, "codes": 0.003, "loss": 0.002, "optimizer": 0.004}
    fast = Headspace(images_per_second=2000.0, seconds_per_step=0.064, parts=before)
    assert "forward takes 2.0 times as long as then" in judge(CLEAN, fast).reason
    as_ever = Headspace(images_per_second=2000.0, seconds_per_step=0.064, parts=dict.fromkeys(before, 1.0))
    assert "times as long" not in judge(CLEAN, as_ever).reason


def test_data_that_waits_for_cores_of_others_is_their_fault_unless_the_pipeline_is_the_longer_part() -> None:
    waiting = {**CLEAN, "data_wait_share": [0.5, 0.5], "pipeline_busy_share": [0.8, 0.8]}
    held = {**waiting, "pipeline_crowded_share": [0.5, 0.5]}  # it computes for 0.3 of the time, the loop for 0.5
    assert judge(held, HEADSPACE).bound == "crowded host"
    both = {**held, "loop_crowded_share": [0.4, 0.4]}  # and now the loop for 0.1
    assert judge(both, HEADSPACE).bound == "input-bound by crops"
    assert judge({**waiting, "pipeline_crowded_share": [0.1, 0.1]}, HEADSPACE).bound == "input-bound by crops"


def test_a_busy_gpu_behind_an_idle_pipeline_makes_the_data() -> None:
    waiting = {**CLEAN, **WAITING, "pipeline_busy_share": [0.1, 0.1]}
    assert judge(waiting, HEADSPACE).bound == "input-bound by storage"
    busy = judge({**waiting, "gpu_utilization": [0.97, 0.99]}, HEADSPACE)
    assert busy.bound == "input-bound by decode and crops on the GPU"


def test_milliseconds_of_tiny_steps_are_no_fault() -> None:
    tiny = {"seconds_per_step": [0.005], "images_per_second": [99.0], "data_wait_share": [0.0], "optimizer_ms": [1.5]}
    assert judge(tiny, None).bound == "model-bound"
    assert judge({**tiny, "seconds_per_step": [0.01], "optimizer_ms": [3.0]}, None).bound == "optimizer-bound"


def test_without_counters_of_threads_an_input_bound_run_is_still_named() -> None:
    figures = {**CLEAN, **WAITING, "pipeline_busy_share": [float("nan")] * 2, "pipeline_cpu_ms": [float("nan")] * 2}
    assert judge(figures, HEADSPACE).bound == "input-bound"


def test_a_verdict_stands_until_another_is_clearly_worse() -> None:
    def figures(waited: float, saved: float) -> dict[str, list[float]]:
        return {**CLEAN, "data_wait_share": [waited] * 2, "checkpoint_ms": [saved] * 2}

    assert judge(figures(0.22, 25.0), HEADSPACE).bound == "input-bound by storage"
    assert judge(figures(0.22, 25.0), HEADSPACE, standing="checkpoint-bound").bound == "checkpoint-bound"
    assert judge(figures(0.32, 25.0), HEADSPACE, standing="checkpoint-bound").bound == "input-bound by storage"
    assert judge(figures(0.07, 1.0), HEADSPACE, standing="input-bound by storage").bound == "input-bound by storage"
    assert judge(figures(0.07, 1.0), HEADSPACE, standing="model-bound").bound == "model-bound"


def test_the_straggler_is_the_rank_whose_own_work_is_longest_not_the_one_that_waits() -> None:
    """Rank 2 is slow; the others wait for it in the collectives, which are nobody's own work."""
    gathered = {
        "seconds_per_step": [0.2] * 4,
        "data_ms": [1.0, 1.0, 1.0, 1.0],
        "forward_ms": [40.0, 50.0, 90.0, 44.0],
        "codes_ms": [60.0, 50.0, 5.0, 56.0],
        "collectives_ms": [59.0, 49.0, 4.0, 55.0],
        "optimizer_ms": [9.0, 9.0, 10.0, 9.0],
    }
    straggler = find_straggler(gathered)
    assert straggler is not None
    assert (straggler.rank, straggler.part) == (2, "forward")
    assert straggler.score == pytest.approx(54 / 101)
    assert straggler.lost_ms == pytest.approx(101 - 54)


def test_even_ranks_score_one_and_one_rank_has_no_straggler() -> None:
    even = {"seconds_per_step": [0.1, 0.1], "forward_ms": [5.0, 5.0]}
    straggler = find_straggler(even)
    assert straggler is not None
    assert (straggler.score, straggler.lost_ms) == (1.0, 0.0)
    assert find_straggler({"seconds_per_step": [0.1], "forward_ms": [5.0]}) is None


def test_the_backward_is_a_ranks_own_but_for_the_waiting_in_it() -> None:
    """Rank 1 computes twice as long; rank 0 waits for it, so both backwards take the same time."""
    gathered = {
        "seconds_per_step": [0.2, 0.2],
        "forward_ms": [10.0, 10.0],
        "codes_ms": [5.0, 5.0],
        "backward_ms": [100.0, 100.0],
        "collectives_ms": [55.0, 5.0],
    }
    straggler = find_straggler(gathered)
    assert straggler is not None
    assert (straggler.rank, straggler.part, straggler.lost_ms) == (1, "backward", 50.0)
    assert part_scores(gathered) == {"forward": 1.0, "backward": 0.5}
    assert judge({**gathered, "data_wait_share": [0.0, 0.0], "images_per_second": [9.0, 9.0]}, None).rank == 1


def test_a_rank_whose_core_others_hold_is_no_straggler() -> None:
    gathered = {"seconds_per_step": [0.1, 0.1], "forward_ms": [40.0, 70.0], "loop_crowded_share": [0.0, 0.3]}
    straggler = find_straggler(gathered)
    assert straggler is not None
    assert (straggler.score, straggler.lost_ms) == (1.0, 0.0)
