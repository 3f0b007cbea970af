"""Collectives of a real step are counted, and the model of larger machines is the one that is written down."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from swav_dali.__main__ import main
from swav_dali.bench.comm import CODES, GRADIENTS, PROTOTYPES, sync_batch_norm
from swav_dali.bench.scaling import Links, Traffic, all_reduce_ms, traffic_ms, waited_ms
from swav_dali.model.net import SwavNet

LINKS = Links(gpus_per_node=8, node_gb=100.0, net_gb=10.0, node_us=1.0, net_us=5.0)


def test_sync_batch_norm_of_resnet50_is_the_107_gathers_and_107_sums_of_two_resolutions() -> None:
    assert sync_batch_norm("resnet50", 2, within_node=False).calls == 2 * 107


def test_one_all_reduce_by_hand() -> None:
    assert all_reduce_ms(1e6, 1, LINKS) == 0.0
    small, large = 1e3, 1e9
    assert all_reduce_ms(small, 8, LINKS) == pytest.approx(2 * 3 * 0.001 + 2 * small / 100e6)  # a tree
    assert all_reduce_ms(large, 8, LINKS) == pytest.approx(2 * 7 * 0.001 + 2 * 7 / 8 * large / 100e6)  # a ring
    assert all_reduce_ms(small, 64, LINKS) == pytest.approx(2 * (3 * 0.001 + 3 * 0.005) + 2 * small / 10e6)
    assert all_reduce_ms(large, 64, LINKS) == pytest.approx(2 * 63 * 0.005 + 2 * 63 / 64 * large / 10e6)


def test_more_ranks_never_cost_less_and_a_node_stays_a_node() -> None:
    times = [all_reduce_ms(24_000, 2**power, LINKS) for power in range(10)]
    assert times == sorted(times)
    inside = Traffic(name="x", calls=3, num_bytes=1e3, within_node=True)
    assert traffic_ms(inside, 512, LINKS) == traffic_ms(inside, 8, LINKS) == 3 * all_reduce_ms(1e3, 8, LINKS)


def test_what_backward_hides_is_not_waited_for() -> None:
    gradients = Traffic(name="g", calls=1, num_bytes=1e8, is_hidden=True)
    codes = Traffic(name="c", calls=3, num_bytes=1e3)
    time = traffic_ms(gradients, 16, LINKS)
    assert waited_ms([gradients, codes], 16, LINKS, step_ms=1e6) == pytest.approx(traffic_ms(codes, 16, LINKS))
    assert waited_ms([gradients], 16, LINKS, step_ms=3.0) == pytest.approx(time - 2.0)


def test_the_command_counts_a_step_of_two_processes_and_prints_what_it_assumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "comm.json"
    words = ["bench", "comm", "--arch", "tiny", "--prototypes", "30", "--crops", "2x32+2x16", "--json", str(out)]
    monkeypatch.setattr("sys.argv", ["swav_dali", *words])
    assert main() == 0
    said = capsys.readouterr().out
    assert "codes                       3 calls of        0.2 KiB" in said
    assert "projected, not measured: 46 ms a step; 8 GPUs a node, 300 GB/s" in said
    assert "with SyncBatchNorm, world:" in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("512 ")]
    assert len(rows) == 2
    assert all(0 < float(row[-2]) <= 100 and math.isfinite(float(row[-3])) for row in rows)
    found = {each["name"]: each for each in json.loads(out.read_text())["counted"]}
    assert (found[CODES]["calls"], found[CODES]["num_bytes"]) == (3, 4 * 2 * 30)
    assert (found[PROTOTYPES]["calls"], found[PROTOTYPES]["num_bytes"]) == (1, 4 * 30 * 128)
    everything = 4 * sum(parameter.numel() for parameter in SwavNet("tiny", num_prototypes=30).parameters())
    gradients = found[GRADIENTS]
    assert gradients["calls"] * gradients["num_bytes"] == pytest.approx(everything - 4 * 30 * 128)
    assert (gradients["is_hidden"], found[CODES]["is_hidden"]) == (True, False)
