"""Which checkpoint a start continues from: the newest sound one, the others by name, and never step 0 in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from saved import save_checkpoint

from swav_dali.config.presets import load_preset
from swav_dali.config.saved import flatten
from swav_dali.config.sections import RunConfig
from swav_dali.errors import CheckpointError
from swav_dali.ranks.world import World
from swav_dali.run.start import Start, find_start, set_old_figures_aside
from swav_dali.run.versions import versions

ONE, TWO = (World(rank=0, size=size, local_rank=0, device=torch.device("cpu")) for size in (1, 2))
STEPS_PER_EPOCH = 10


class Part:
    def __init__(self, **state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise AssertionError("nothing is restored here")


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return replace(load_preset("demo"), runs_dir=tmp_path)


def save(config: RunConfig, step: int, **changes: Any) -> Path:
    """A checkpoint as a run writes it, and the figures and the event that go with it."""
    epoch, rest = divmod(step, STEPS_PER_EPOCH)
    folder = save_checkpoint(
        config.folder / "checkpoints",
        step=step,
        epoch=changes.get("epoch", epoch),
        shared={"clock": Part(step=changes.get("clock", step)), "model": Part(weight=torch.arange(50.0))},
        per_rank={"loader": Part(epoch=epoch, step_in_epoch=rest)},
        config=flatten(config),
        versions=changes.get("versions", versions()),
        world=ONE,
    )
    train_to(config, step)
    tell(config, "checkpoint", step)
    return folder


def train_to(config: RunConfig, step: int) -> None:
    config.folder.mkdir(exist_ok=True)
    (config.folder / "metrics.jsonl").write_text("".join(f'{{"step": {n}, "loss": 1.0}}\n' for n in range(1, step + 1)))


def tell(config: RunConfig, kind: str, step: int) -> None:
    with (config.folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"kind": kind, "step": step}) + "\n")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def find(config: RunConfig, world: World = ONE) -> Start:
    return find_start(config, world, given=())[0]


def test_results_of_evaluations_beside_a_checkpoint_are_no_checkpoints(config: RunConfig) -> None:
    newest = save(config, 10)
    newest.with_name(f"{newest.name}.linear.json").write_text("{}")
    start, _ = find_start(config, ONE, ())
    assert start.folder == newest
    assert start.warnings == []


def test_a_new_name_begins_at_step_0_and_says_nothing(config: RunConfig) -> None:
    start = find(config)
    assert (start.is_new, start.warnings) == (True, [])


@pytest.mark.parametrize("name", ["shared.pt", "rank-00000.pt"])
def test_one_flipped_bit_in_the_newest_is_said_and_the_one_before_is_used(config: RunConfig, name: str) -> None:
    older, newest = save(config, 15), save(config, 20)
    flip(newest / name)
    start = find(config)
    assert start.folder == older
    assert len(start.warnings) == 1
    assert start.warnings[0] == f"skipped step-00000020: {name}: bytes differ from those written"


@pytest.mark.parametrize(
    "edit",
    [{"epoch": 9}, {"epoch": 0}, {"step": 21}, {"step": 10, "epoch": 1}, {"files": {}}, {"world_size": 2}],
    ids=str,
)
def test_an_edited_meta_file_is_not_believed(config: RunConfig, edit: dict[str, Any]) -> None:
    older, newest = save(config, 15), save(config, 20)
    path = newest / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
    start = find(config)
    assert start.folder == older
    assert start.warnings[0].startswith("skipped step-00000020: ")


def test_in_mid_epoch_and_in_the_first_epoch_the_place_is_checked_too(config: RunConfig) -> None:
    assert find(replace(config, name="first") if save(replace(config, name="first"), 7) else config).meta is not None
    save(config, 27)
    assert find(config).warnings == []
    path = save(config, 28, epoch=3) / "meta.json"
    assert find(config).folder.name == "step-00000027"
    assert path.exists()


def test_a_clock_of_another_step_than_the_name_is_not_believed(config: RunConfig) -> None:
    older = save(config, 15)
    save(config, 20, clock=19)
    start = find(config)
    assert start.folder == older
    assert "found step 20, epoch 2, expected step 19" in start.warnings[0]


def test_where_no_checkpoint_is_left_a_run_is_not_started_over_in_silence(config: RunConfig) -> None:
    for step in (5, 7, 10, 20):
        flip(save(config, step) / "shared.pt")
    with pytest.raises(CheckpointError, match=r"skipped step-00000020: .*step-00000010: .*; 1 more; .*--resume never"):
        find(config)
    start = find(replace(config, resume="never"))
    assert start.is_new
    assert len(start.warnings) == 5
    assert start.warnings[-1].startswith("starting over, as --resume never asks; its figures up to step 20 are now in")


def test_deleted_checkpoints_are_missed(config: RunConfig) -> None:
    folder = save(config, 10)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(CheckpointError, match=r"figures up to step 10, and its checkpoints are gone.*--resume never"):
        find(config)
    tell(config, "start", 0)  # as after --resume never, and a kill before the first checkpoint
    assert find(config).warnings[0].startswith("starting over, it was stopped before its first checkpoint")


def test_a_run_stopped_before_its_first_checkpoint_starts_over_aloud_and_keeps_its_figures(config: RunConfig) -> None:
    train_to(config, 4)
    tell(config, "start", 0)
    start = find(config)
    assert start.is_new
    assert "its figures up to step 4 are now in metrics.old.jsonl" in start.warnings[0]
    set_old_figures_aside(config.folder)
    assert len((config.folder / "metrics.old.jsonl").read_text().splitlines()) == 4
    assert not (config.folder / "metrics.jsonl").exists()


def test_a_file_that_cannot_be_read_or_states_without_a_place_are_skipped(config: RunConfig) -> None:
    older = save(config, 10)
    odd = save(config, 20) / "shared.pt"
    odd.unlink()
    odd.mkdir()
    assert find(config).folder == older
    save_checkpoint(
        config.folder / "checkpoints",
        step=30,
        epoch=3,
        shared={"model": Part()},
        per_rank={"loader": Part()},
        config=flatten(config),
        versions=versions(),
        world=ONE,
    )
    start = find(config)
    assert start.folder == older
    assert "names another place" in start.warnings[0]


def test_never_refuses_a_run_that_can_go_on(config: RunConfig) -> None:
    save(config, 10)
    with pytest.raises(CheckpointError, match=r"the run exists, found step-00000010; choose another --name"):
        find(replace(config, resume="never"))


def test_damaged_lines_of_the_records_stop_nothing(config: RunConfig) -> None:
    save(config, 10)
    for name in ("metrics.jsonl", "events.jsonl"):
        with (config.folder / name).open("a") as file:
            file.write("{broken}\n[1]\n{\n")
    assert find(config).folder.name == "step-00000010"


def test_a_named_checkpoint_is_read_to_its_last_byte_before_it_is_used(config: RunConfig) -> None:
    folder = save(config, 10)
    assert find(replace(config, resume=folder)).folder == folder
    flip(folder / "shared.pt")
    with pytest.raises(CheckpointError, match=r"shared\.pt: bytes differ"):
        find(replace(config, resume=folder))


def test_another_torch_is_said_and_another_dali_is_refused_with_the_way_out(config: RunConfig) -> None:
    now = versions()
    save(config, 10, versions={**now, "torch": "1.0", "numpy": "2.0.0a"})
    (said,) = find(config).warnings
    assert f"torch 1.0 -> {now['torch']}, numpy 2.0.0a -> " in said
    dali = next(name for name in now if name.startswith("nvidia-dali"))
    folder = save(config, 20, versions={**now, dali: "1.2.3"})
    with pytest.raises(CheckpointError, match=rf"DALI 1\.2\.3 -> .*install DALI 1\.2\.3 again, or .*--init {folder}"):
        find(config)
    assert "1.2.3" in find(replace(config), TWO).warnings[0]


def test_a_run_from_before_the_arithmetic_changed_is_told_so(config: RunConfig) -> None:
    save(config, 10, versions={name: found for name, found in versions().items() if "arithmetic" not in name})
    (said,) = find(config).warnings
    assert "swav-dali arithmetic 1 -> " in said


def test_the_same_dali_for_another_cuda_is_the_same(config: RunConfig) -> None:
    now = versions()
    dali = next(name for name in now if name.startswith("nvidia-dali"))
    other = {key: value for key, value in now.items() if key != dali} | {"nvidia-dali-cuda120": now[dali]}
    save(config, 10, versions=other)
    assert find(config).warnings == []


def test_a_demo_run_begun_with_an_earlier_preset_is_refused_and_told_how_it_goes_on(config: RunConfig) -> None:
    """LARC for 14 epochs was the demo once; what may grow is no reason to refuse, but part of the way back."""
    earlier = {"optimizer": "larc", "epochs": 14, "base_lr": 1.5, "final_lr": 0.01, "start_lr": 0.3}
    save(replace(config, optim=replace(config.optim, **earlier)), 12)  # type: ignore[arg-type]
    before = sorted(config.folder.rglob("*"))
    with pytest.raises(CheckpointError) as caught:
        find(config)
    (line,) = str(caught.value).splitlines()
    assert line.endswith(
        "step-00000012: the run was started with other options, found --optim.optimizer larc -> adamw; --optim.base-lr "
        "1.5 -> 0.003; --optim.final-lr 0.01 -> 1e-05; --optim.start-lr 0.3 -> 0.0003; go on as it began: the same "
        "command with --optim.optimizer larc --optim.base-lr 1.5 --optim.final-lr 0.01 --optim.start-lr 0.3 "
        "--optim.epochs 14; or start another run: with --name demo-2"
    )
    assert sorted(config.folder.rglob("*")) == before
