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


PROBED = {**SETTINGS, "optim__epochs": "3", "knn__batch_size": "4"}
ASKED = """\
import os, signal, sys, time
sys.path.insert(0, {root!r})
import swav_dali.run.loop as loop
place, is_asked = {place!r}, False
def asked(real):
    def ask_and_wait(run, argument):
        global is_asked
        if not is_asked and run.world.is_main and run.clock.step + (place == "last step") == 10:
            is_asked = True
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2)
        return real(run, argument)
    return ask_and_wait
name = "_step" if place == "last step" else "_features"
setattr(loop, name, asked(getattr(loop, name)))
from shards.errors import run_command
from swav_dali.cli import main
sys.exit(run_command(main))
"""
"""train.py whose first rank asks itself to leave: in the last step of the first epoch, or in the probe after it."""


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("place", ["last step", "probe"])
def test_a_run_that_leaves_at_the_end_of_an_epoch_measures_the_probe_after_its_next_start(
    tiny_data: Path, tmp_path: Path, ranks: int, place: str
) -> None:
    settings = {**PROBED, "data__validation": str(tiny_data / "validation"), "data__batch_size": str(4 // ranks)}
    whole, broken = (training.command(tiny_data, tmp_path, name, ranks=ranks, **settings) for name in ("whole", "run"))
    done = training.run(whole, timeout=600)
    assert done.returncode == 0, done.stderr
    program = tmp_path / "asked.py"
    program.write_text(ASKED.format(root=str(training.ROOT), place=place))
    left = training.run([str(program) if word == "train.py" else word for word in broken], timeout=600)
    assert left.returncode == (75 if ranks == 1 else 1), left.stderr
    assert "SIGTERM: the run leaves after step 10" in left.stderr
    assert [record["step"] for record in training.records(tmp_path / "run") if "knn_top1" in record] == [0]
    done = training.run(broken, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "the next step is 11" in done.stdout
    assert_same_run(tmp_path / "run", tmp_path / "whole")


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
