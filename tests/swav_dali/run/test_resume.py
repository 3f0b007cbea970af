"""kill -9 in the middle of an epoch, start again: the same bits as a run nobody disturbed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import training
from same_bits import assert_same_run, last_step

EPOCHS = "3"
SETTINGS = {"optim__epochs": EPOCHS, "checkpoint__every_steps": "3", "checkpoint__every_epochs": "2"}


def start_and_kill(arguments: list[str], folder: Path, step: int) -> None:
    """Start a run, wait for the record of `step`, and kill all its processes without a warning."""
    process = subprocess.Popen(
        arguments,
        cwd=training.ROOT,
        env=training.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 400
    while last_step(folder) < step and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    for pid in [process.pid, *training.descendants(process.pid)]:  # torchrun's workers are no group of its own
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert last_step(folder) >= step, "the run ended before it could be killed"


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_killed_run_continues_with_the_same_bits(tiny_data: Path, tmp_path: Path, ranks: int) -> None:
    batch = str(4 // ranks)
    whole = training.command(tiny_data, tmp_path, "whole", ranks=ranks, data__batch_size=batch, **SETTINGS)
    broken = training.command(tiny_data, tmp_path, "broken", ranks=ranks, data__batch_size=batch, **SETTINGS)
    done = training.run(whole, timeout=600)
    assert done.returncode == 0, done.stderr
    steps_per_epoch = last_step(tmp_path / "whole") // int(EPOCHS)
    start_and_kill(broken, tmp_path / "broken", steps_per_epoch + steps_per_epoch // 2)
    resumed = training.run(broken, timeout=600)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed" in resumed.stdout
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


VIRTUAL = {**SETTINGS, "optim__epochs": "8", "optim__steps_per_epoch": "4", "knn__every_epochs": "4"}
"""Passes of 10 steps, epochs of 4: some checkpoints lie inside an epoch, some at its end, one where a pass ends."""


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_of_counted_epochs_continues_with_the_same_bits(
    tiny_data: Path, tmp_path: Path, ranks: int
) -> None:
    settings = {**VIRTUAL, "data__batch_size": str(4 // ranks)}
    whole, broken = (
        training.command(tiny_data, tmp_path, name, ranks=ranks, **settings) for name in ("whole", "broken")
    )
    done = training.run(whole, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "4 steps an epoch (a pass has 10), 8 epochs" in done.stdout
    start_and_kill(broken, tmp_path / "broken", 13)
    resumed = training.run(broken, timeout=600)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed" in resumed.stdout
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


@pytest.mark.slow
def test_another_number_of_ranks_costs_a_counted_epoch_and_not_a_pass(tiny_data: Path, tmp_path: Path) -> None:
    settings = {**VIRTUAL, "checkpoint__every_epochs": "1"}
    start_and_kill(training.command(tiny_data, tmp_path, "grown", **settings), tmp_path / "grown", 18)
    arguments = training.command(tiny_data, tmp_path, "grown", ranks=2, data__batch_size="2", **settings)
    done = training.run(arguments, timeout=600)
    assert done.returncode == 0, done.stderr
    (said,) = (line for line in done.stdout.splitlines() if "on 2 ranks instead of 1" in line)
    assert int(re.search(r"epoch (\d+) starts again", said)[1]) >= 5  # type: ignore[index]
    steps = [record["step"] for record in training.records(tmp_path / "grown") if "loss" in record]
    assert steps == list(range(1, 8 * 4 + 1))


def test_another_number_of_ranks_restarts_the_epoch_and_says_so(tiny_data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "checkpoint__every_epochs": "1"}
    start_and_kill(training.command(tiny_data, tmp_path, "grown", **settings), tmp_path / "grown", 15)
    arguments = training.command(tiny_data, tmp_path, "grown", ranks=2, data__batch_size="2", **settings)
    done = training.run(arguments)
    assert done.returncode == 0, done.stderr
    assert "on 2 ranks instead of 1" in done.stdout
    steps = [record["step"] for record in training.records(tmp_path / "grown") if "loss" in record]
    assert steps == list(range(1, 3 * 10 + 1))


@pytest.mark.slow
def test_a_run_of_an_earlier_preset_is_refused_in_one_line_whose_command_goes_on_with_it(
    tiny_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    today = _without_optim(training.command(tiny_data, tmp_path, "demo", **SETTINGS))
    earlier = "--optim.optimizer larc --optim.epochs 14 --optim.base-lr 1.5 --optim.final-lr 0.01 --optim.start-lr 0.3"
    start_and_kill([*today, *shlex.split(earlier)], folder, 8)
    before = _files(folder)
    refused = training.run(today)
    assert (refused.returncode, refused.stdout.count("\n")) == (2, 1), refused.stdout
    (line,) = refused.stderr.splitlines()
    assert "--optim.optimizer larc -> adamw" in line
    assert _files(folder) == before
    (back,) = re.findall(r"the same command with (--.*); or start another run: with --name demo-2", line)
    start_and_kill([*today, *shlex.split(back)], folder, 16)
    losses = [record for record in training.records(folder) if "loss" in record]
    steps = [record["step"] for record in losses]
    assert steps == list(range(1, len(steps) + 1))
    assert losses[15]["lr"] > 0.1  # LARC's


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def _without_optim(command: list[str]) -> list[str]:
    """As a person types it: the preset's own optimizer."""
    at = [index for index, word in enumerate(command) if word.startswith("--optim.")]
    return [word for index, word in enumerate(command) if not {index, index - 1} & set(at)]
