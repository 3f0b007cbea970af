"""The parts and peers of the bench really make batches, and its report adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.bench.lineup import (
    CROPS_ALONE,
    CUT,
    DECODE,
    ENGINE,
    FULL,
    PILLOW,
    READ,
    WEBDATASET,
    Setting,
    line_up,
)
from pipelines.bench.peers import PillowCrops, TarPictures
from pipelines.bench.report import choice, parts, ratio_to_pillow, sentence, table, write_record
from pipelines.config import Augmentation, LoaderOptions
from pipelines.recipes import RECIPES
from shards.harness.turns import Contestant, Timing, Turn


def timing(name: str, rate: float, cpu_ms: float, threads: int = 1) -> Timing:
    turn = Turn(100, 100 / rate, cpu_ms / 10)
    entry = Contestant(name=name, parallel=threads, run=lambda: turn, bytes_per_item=2e5, start_seconds=1.0)
    return Timing(contestant=entry, turns=[turn])


TIMINGS = [
    timing(READ, 10_000, 0.1),
    timing(DECODE, 500, 1.5),
    timing(CUT, 400, 2.5),
    timing("... + flip, jitter, gray", 300, 3.25),
    timing(FULL["cpu"], 250, 4.0),
    timing(FULL["dali"], 80, 12.0),
    timing(PILLOW, 50, 20.0),
]


def test_the_report_says_ratios_parts_and_gpus() -> None:
    assert ratio_to_pillow(TIMINGS[4], TIMINGS) == pytest.approx(5.0)
    assert ratio_to_pillow(TIMINGS[4], TIMINGS[:5]) is None
    assert "read 0.10, decode 1.40, crop + resize 1.00, flip + jitter + gray 0.75, blur 0.75" in parts(TIMINGS, 1)
    assert "feeds 0.50 GPUs that train 500 images/s each" in sentence(TIMINGS, gpu_rate=500)
    lines = table(TIMINGS)
    assert len(lines) == 1 + len(TIMINGS)
    assert lines[5].split()[4:] == ["1", "250.0", "4.00", "50.0", "5.00", "1.0", "s"]


def test_the_record_is_json_with_a_result_per_contestant(tmp_path: Path) -> None:
    write_record(tmp_path / "bench.json", TIMINGS, setting={"crops": "2x224"})
    made = json.loads((tmp_path / "bench.json").read_text())
    assert made["bytes_per_image"] == 2e5
    assert [result["name"] for result in made["results"]] == [each.contestant.name for each in TIMINGS]
    assert made["results"][4]["cpu_ms_per_image"] == pytest.approx(4.0)


def setting(shards: Any) -> Setting:
    return Setting(
        shards=shards,
        crops=RECIPES["2x32+4x16"],
        augment=Augmentation(),
        batch_size=8,
        device=torch.device("cpu"),
        options=LoaderOptions(shuffle_pool=8),
    )


def test_every_part_and_the_whole_make_batches(make_set: Any) -> None:
    entries = line_up(setting(make_set(29)), threads=1, peers=False)
    assert [entry.name for entry in entries][:2] == [READ, DECODE]
    for entry in entries:
        contestant = entry.open()
        assert [contestant.run() for _ in range(5)] == [8] * 5
        contestant.close()


@pytest.mark.slow
def test_the_peers_make_batches_in_worker_processes(make_set: Any) -> None:
    entries = line_up(setting(make_set(29)), threads=1, peers=True)[-2:]
    assert [entry.name for entry in entries] == [PILLOW, WEBDATASET]
    for entry in entries:
        contestant = entry.open()
        assert [contestant.run() for _ in range(5)] == [8] * 5
        assert len(contestant.workers()) == 1
        contestant.close()


def test_the_pillow_peer_makes_the_same_crops_in_number_and_shape(make_set: Any) -> None:
    pictures = TarPictures(make_set(29), PillowCrops(RECIPES["2x32+4x16"], Augmentation()))
    assert len(pictures) == 29
    assert [tuple(crop.shape) for crop in pictures[0]] == [(3, 32, 32)] * 2 + [(3, 16, 16)] * 4


def test_on_a_gpu_every_way_to_make_crops_takes_part_and_the_engine_at_three_loads(make_set: Any) -> None:
    """Entries are opened by nobody here."""
    entries = line_up(replace(setting(make_set(29)), device=torch.device("cuda", 0)), threads=2, peers=False)
    assert [entry.name for entry in entries] == [READ, *ENGINE.values(), CROPS_ALONE, *FULL.values()]
    loads = [entry.open.keywords["options"].hardware_decoder_load for entry in entries[1:4]]  # type: ignore[attr-defined]
    assert loads == list(ENGINE) == [0.0, 0.65, 1.0]


def test_the_choice_is_cpu_where_its_cores_are_enough_and_names_the_price() -> None:
    timings = [
        timing(CROPS_ALONE, 80_000, 0.1, threads=16),
        timing(FULL["gpu"], 6_000, 0.5, threads=16),
        timing(FULL["cpu"], 3_600, 4.0, threads=16),
        timing(FULL["dali"], 5_000, 1.0, threads=16),
    ]
    enough, short = choice(timings, gpu_rate=1550), choice(timings, gpu_rate=3500)
    assert enough.startswith("For 1550 images/s choose --data.crops-by cpu here: gpu takes 1.9% of the GPU")
    assert "cpu takes none of it and 6.2 of" in enough
    assert short.startswith("For 3500 images/s choose --data.crops-by gpu here: gpu takes 4.4% of the GPU's time")
