"""A rank killed under torchrun --max-restarts, and a request to leave: the run has the bits of one left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_slurm
import pytest
import training
from same_bits import assert_same_run, last_step

pytestmark = pytest.mark.slow

SETTINGS = {"data__batch_size": "2", "data__validation": "none", "optim__epochs": "6", "checkpoint__every_steps": "7"}
STEPS = 60
SEED = int(os.environ.get("SWAV_DALI_SEED", "0"))


@pytest.fixture(scope="module")
def alone(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks that nothing befalls."""
    runs = tmp_path_factory.mktemp("alone")
    done = training.run(training.command(tiny_data, runs, "run", ranks=2, **SETTINGS), timeout=600)
    assert done.returncode == 0, done.stderr
    return runs / "run"


def wait_for(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    until = time.monotonic() + 300
    while last_step(folder) < step and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def start(command: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=training.ROOT,
        env={**training.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    try:
        said, _ = process.communicate(timeout=600)
    finally:
        for pid in (*training.descendants(process.pid), process.pid):
            training.kill(pid)
    return said


@pytest.mark.parametrize("seed", range(SEED, SEED + 5))
def test_torchrun_starts_again_after_a_kill_at_a_random_step(
    alone: Path, tiny_data: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    step, victim = dice.randint(2, STEPS - 12), dice.randrange(2)
    command = training.command(tiny_data, tmp_path, "run", ranks=2, **SETTINGS)
    command[command.index("--standalone") : command.index("--standalone")] = ["--max-restarts", "1"]
    process = start(command)
    wait_for(process, tmp_path / "run", step)
    pids = training.ranks_below(process.pid)
    assert len(pids) == 2
    killed_after = last_step(tmp_path / "run")
    os.kill(pids[victim], signal.SIGKILL)
    said = ended(process)
    assert process.returncode == 0, said
    assert "resumed" in said or "starting over" in said  # before the first checkpoint there is nothing to resume
    assert_same_run(tmp_path / "run", alone)
    print(f"seed {seed}: rank {victim} killed after step {killed_after}, the same bits as a run left alone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_request_to_all_ranks_leaves_a_checkpoint_and_exit_code_75(
    alone: Path, tiny_data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    step = random.Random(SEED + number).randint(2, STEPS - 12)
    job = {**fake_slurm.install(tmp_path / "slurm", tasks=2, job=220_000 + os.getpid() % 20_000)}
    command = ["srun", sys.executable, *training.command(tiny_data, tmp_path, "run", **SETTINGS)[1:]]
    command[0] = str(tmp_path / "slurm" / "srun")
    process = start(command, **job)
    wait_for(process, tmp_path / "run", step)
    began = time.monotonic()
    process.send_signal(number)
    said = ended(process)
    seconds = time.monotonic() - began
    assert process.returncode == 75, said
    reached = last_step(tmp_path / "run")
    assert reached >= step
    assert (tmp_path / "run" / "checkpoints" / f"step-{reached:08d}").is_dir()
    assert seconds < 120  # docs/launching.md has what it takes where the cores are free
    process = start(command, **job)
    said = ended(process)
    assert process.returncode == 0, said
    assert f"the next step is {reached + 1}" in said
    print(f"{number.name} at step {reached}: left after {seconds:.1f} s")
    assert_same_run(tmp_path / "run", alone)
