"""A run in float16: its first steps overflow, it goes on, and from a checkpoint it continues with the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import training

from swav_dali.run.checkpoint import find_checkpoints, load_parts

SETTINGS = {
    "precision": "float16",
    "optim__loss_scale": str(2.0**20),
    "optim__epochs": "1",
    "checkpoint__every_steps": "4",
    "data__validation": "none",
}


def shared(folder: Path) -> dict[str, Any]:
    return load_parts(find_checkpoints(folder / "checkpoints")[-1], "shared.pt")


def test_a_run_in_float16_leaves_overflows_out_and_continues_with_the_same_bits(
    tiny_data: Path, tmp_path: Path
) -> None:
    done = training.run(training.command(tiny_data, tmp_path, "half", **SETTINGS))
    assert done.returncode == 0, done.stderr
    assert "float16 autocast" in done.stdout
    records = [record for record in training.records(tmp_path / "half") if "loss_scale" in record]
    overflowed = [record["steps_overflowed"] for record in records]
    assert 0 < overflowed[0] <= overflowed[-1] < len(records)
    assert records[-1]["loss_scale"] == 2.0 ** (20 - overflowed[-1])
    assert {record["steps_skipped"] for record in records} == {0}
    whole = shared(tmp_path / "half")
    newest = find_checkpoints(tmp_path / "half" / "checkpoints")[-1]
    shutil.rmtree(newest)
    again = training.run([*training.command(tiny_data, tmp_path, "half", **SETTINGS), "--log.no-headspace"])
    assert again.returncode == 0, again.stderr
    assert "the next step is 9" in again.stdout
    resumed = shared(tmp_path / "half")
    assert resumed["loss_scale"] == whole["loss_scale"]
    assert all(torch.equal(resumed["model"][name], value) for name, value in whole["model"].items())
