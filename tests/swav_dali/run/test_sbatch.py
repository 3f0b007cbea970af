"""docs/slurm/train.sbatch, run with stand-ins for srun and scontrol and real tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import fake_slurm
import pytest
import training
from same_bits import assert_same_run, last_step

JOB = 200_000 + os.getpid() % 20_000  # the ranks' port follows from it
SCRIPT = training.ROOT / "docs" / "slurm" / "train.sbatch"
SETTINGS = {"data__batch_size": "2", "data__validation": "none", "optim__epochs": "8"}


def submit(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """What SLURM does with the script once it is the job's turn."""
    return subprocess.Popen(
        ["bash", str(SCRIPT), *arguments],
        cwd=training.ROOT,
        env={**training.environment(), **fake_slurm.install(folder, tasks=2, job=JOB), "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(job: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        said, _ = job.communicate(timeout=300)
    finally:
        for pid in (*training.descendants(job.pid), job.pid):
            training.kill(pid)
    return job.returncode, said


def wait_for_step(job: subprocess.Popen[str], folder: Path, step: int) -> None:
    until = time.monotonic() + 240
    while last_step(folder) < step and job.poll() is None and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.slow
def test_a_job_near_its_limit_is_put_back_and_ends_with_the_bits_of_one_without_limit(
    tiny_data: Path, tmp_path: Path
) -> None:
    whole = training.run(training.command(tiny_data, tmp_path, "whole", ranks=2, **SETTINGS), timeout=600)
    assert whole.returncode == 0, whole.stderr
    arguments = training.command(tiny_data, tmp_path, "job", **SETTINGS)[2:]
    job = submit(tmp_path / "slurm", arguments)
    wait_for_step(job, tmp_path / "job", 7)
    began = time.monotonic()
    job.send_signal(signal.SIGUSR1)
    code, said = ended(job)
    assert code == 75, said
    assert time.monotonic() - began < 60
    assert fake_slurm.notes(tmp_path / "slurm") == [f"requeue {JOB}"]
    assert f"job {JOB} goes back into the queue" in said
    code, said = ended(submit(tmp_path / "slurm", arguments))
    assert code == 0, said
    assert "resumed" in said
    assert fake_slurm.notes(tmp_path / "slurm") == [f"requeue {JOB}"]
    assert_same_run(tmp_path / "job", tmp_path / "whole")


@pytest.mark.slow
def test_a_cancelled_job_and_one_that_fails_are_not_put_back(tiny_data: Path, tmp_path: Path) -> None:
    arguments = training.command(tiny_data, tmp_path, "job", **SETTINGS)[2:]
    job = submit(tmp_path / "slurm", arguments)
    wait_for_step(job, tmp_path / "job", 3)
    for pid in (*training.descendants(job.pid), job.pid):  # scancel: SIGTERM to everything
        os.kill(pid, signal.SIGTERM)
    code, said = ended(job)
    assert code == 75, said
    code, said = ended(submit(tmp_path / "slurm", [*arguments, "--data.train", str(tmp_path / "nowhere")]))
    assert (code, "nowhere" in said) == (2, True), said
    assert fake_slurm.notes(tmp_path / "slurm") == []
