"""What may differ when a run goes on, and what may not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import training

from pipelines.config import CropsBy
from swav_dali.config.presets import load_preset
from swav_dali.config.saved import flatten
from swav_dali.config.sections import RunConfig
from swav_dali.errors import CheckpointError
from swav_dali.run.folder import read_run_id, refuse_other_config, renumber_figures, way_on, write_config


def refuse(new: RunConfig, *, world_changed: bool = False) -> None:
    old = flatten(load_preset("demo"))
    refuse_other_config(old, flatten(new), where=Path("ckpt"), world_changed=world_changed)


def test_flatten_says_crops_in_one_word() -> None:
    flat = flatten(load_preset("demo"))
    assert flat["data.crops"] == "2x64@0.3-1+4x32@0.08-0.3"
    assert flat["swav.assign_crops"] == [0, 1]
    assert flat["data.train"] == "data/demo/train"


def test_places_and_watching_may_change() -> None:
    demo = load_preset("demo")
    refuse(replace(demo, runs_dir=Path("elsewhere"), log=replace(demo.log, every_steps=1)))


def test_a_changed_option_is_named_with_both_values() -> None:
    demo = load_preset("demo")
    with pytest.raises(CheckpointError, match=r"--optim\.base-lr .* -> 9\.0"):
        refuse(replace(demo, optim=replace(demo.optim, base_lr=9.0)))


@pytest.mark.parametrize(("quality", "now"), [("exact", "cpu"), ("exact", "gpu"), ("fast", "dali")])
def test_a_run_from_before_crops_by_may_go_on(quality: str, now: CropsBy) -> None:
    demo = load_preset("demo")
    present = flatten(replace(demo, data=replace(demo.data, crops_by=now)))
    saved = {key: value for key, value in present.items() if key != "data.crops_by"} | {"data.quality": quality}
    refuse_other_config(saved, present, where=Path("ckpt"), world_changed=False)
    other: CropsBy = "cpu" if quality == "fast" else "dali"
    with pytest.raises(CheckpointError, match=r"--data\.crops-by"):
        refuse_other_config(saved, {**present, "data.crops_by": other}, where=Path("ckpt"), world_changed=False)


def test_the_batch_per_rank_may_change_only_with_the_number_of_ranks() -> None:
    demo = load_preset("demo")
    smaller = replace(demo, data=replace(demo.data, batch_size=8))
    refuse(smaller, world_changed=True)
    with pytest.raises(CheckpointError, match=r"--data\.batch-size"):
        refuse(smaller)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"run_id": 3}', b'{"run_', b"\xff", None])
def test_a_config_file_without_an_id_is_written_anew_with_another(tmp_path: Path, content: bytes | None) -> None:
    config = replace(load_preset("demo"), runs_dir=tmp_path)
    first, path = write_config(config, is_new=True), config.folder / "config.json"
    path.unlink() if content is None else path.write_bytes(content)
    second = write_config(config, is_new=False)
    assert second not in (first, "3")
    assert read_run_id(path) == second
    assert [file.name for file in config.folder.iterdir()] == ["config.json"]


def test_the_id_of_a_run_of_the_first_version_is_kept() -> None:
    path = training.ROOT / "tests" / "data" / "first_version" / "config.json"
    assert read_run_id(path) == json.loads(path.read_text())["run_id"]


def test_the_run_id_stays_over_a_resume_and_is_new_for_a_new_run(tmp_path: Path) -> None:
    config = replace(load_preset("demo"), runs_dir=tmp_path)
    first = write_config(config, is_new=True)
    assert write_config(config, is_new=False) == first == read_run_id(config.folder / "config.json")
    assert write_config(config, is_new=True) != first


def figures(folder: Path) -> list[tuple[int, int]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [(record["epoch"], record["step"]) for record in map(json.loads, lines)]


@pytest.mark.parametrize(("old", "new"), [(5, 10), (10, 5), (4, 6), (6, 4), (5, 5)])
def test_with_epochs_of_another_length_no_figure_keeps_a_number_of_the_old_ones(
    tmp_path: Path, old: int, new: int
) -> None:
    rows = [{"step": step, "epoch": -(-step // old), "loss": 1.0} for step in range(3 * old - 1)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3}\n{cut')
    renumber_figures(tmp_path, epochs=2, old_steps=old, new_steps=new)
    found = figures(tmp_path)
    assert max(epoch for epoch, _ in found) == 2
    assert all(step <= epoch * new and step >= (epoch - 1) * new for epoch, step in found)
    assert (1, new) in found
    assert (2, 2 * new) in found
    steps = [step for _, step in found]
    assert steps == sorted(set(steps))


def test_a_first_epoch_that_starts_again_keeps_what_was_before_it(tmp_path: Path) -> None:
    rows = [{"step": 0, "epoch": 0, "knn_top1": 0.1}, {"step": 3, "epoch": 1, "loss": 1.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    renumber_figures(tmp_path, epochs=0, old_steps=3, new_steps=7)
    assert figures(tmp_path) == [(0, 0)]


def test_what_a_probe_and_an_evaluation_found_at_one_step_stay_both(tmp_path: Path) -> None:
    rows = [{"step": 3, "epoch": 1, **found} for found in ({"knn_top1": 0.1}, {"loss": 1.0}, {"linear_top1": 0.2})]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    renumber_figures(tmp_path, epochs=1, old_steps=3, new_steps=7)
    found = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert found == [
        {"step": 7, "epoch": 1, "knn_top1": 0.1, "linear_top1": 0.2},
        {"step": 7, "epoch": 1, "loss": 1.0},
    ]


def test_the_way_on_after_lost_weights_is_a_command_that_begins_with_the_newest_checkpoint(tmp_path: Path) -> None:
    config = replace(load_preset("demo"), runs_dir=tmp_path)
    assert "--name demo-2 --optim.base-lr 0.0015" in way_on(config)
    assert "--init" not in way_on(config)
