"""SIGTERM to all ranks, by hand and through torchrun: a checkpoint, an end within seconds, and the same bits after."""

from __future__ import annotations

from pathlib import Path

import pytest
import training
from same_bits import assert_same_run, last_step
from timed_leaving import leave

pytestmark = pytest.mark.slow

CHECKPOINT_SECONDS, END_SECONDS = 30, 60
"""docs/launching.md has what it takes where the cores are free; here they may be shared by many."""
SETTINGS = {
    "data__validation": "none",
    "optim__epochs": "6",
    "checkpoint__every_epochs": "100",
    "log__wandb": "offline",
    "log__report_minutes": "60",
}


@pytest.fixture(scope="module")
def alone(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on one and two ranks that nothing befalls."""
    runs = tmp_path_factory.mktemp("alone")
    for ranks in (1, 2):
        settings = {**SETTINGS, "data__batch_size": str(4 // ranks)}
        done = training.run(training.command(tiny_data, runs, f"run-{ranks}", ranks=ranks, **settings), timeout=600)
        assert done.returncode == 0, done.stderr
    return runs


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("by_torchrun", [False, True])
def test_a_run_leaves_within_seconds_of_sigterm_and_goes_on_with_the_same_bits(
    alone: Path, tiny_data: Path, tmp_path: Path, ranks: int, by_torchrun: bool
) -> None:
    command = training.command(tiny_data, tmp_path, "run", **SETTINGS, data__batch_size=str(4 // ranks))
    folder = tmp_path / "run"
    left = leave(command[1:], folder, ranks=ranks, by_torchrun=by_torchrun, when=lambda: last_step(folder) >= 5)
    assert left.codes == ([1] if by_torchrun else [75] * ranks), left.said
    assert f"SIGTERM: the run leaves after step {left.step}, start it again to continue" in left.said
    assert left.checkpoint is not None
    assert left.checkpoint < CHECKPOINT_SECONDS
    assert left.ranks < END_SECONDS
    print(f"checkpoint {left.checkpoint:.1f} s, ranks gone {left.ranks:.1f} s, launcher gone {left.launcher:.1f} s")
    again = training.command(tiny_data, tmp_path, "run", ranks=ranks, **SETTINGS, data__batch_size=str(4 // ranks))
    done = training.run(again, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"the next step is {left.step + 1}" in done.stdout
    assert_same_run(folder, alone / f"run-{ranks}")
