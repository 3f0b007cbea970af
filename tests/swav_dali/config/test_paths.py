"""The paths of a run are looked at before anything heavy is imported, and each mistake has its own way out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from swav_dali.config.paths import look_at_paths
from swav_dali.config.presets import load_preset
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError


def config(train: Path, validation: Path | None, **changes: object) -> RunConfig:
    demo = load_preset("demo")
    return replace(demo, data=replace(demo.data, train=train, validation=validation), **changes)  # type: ignore[arg-type]


@pytest.fixture
def unlabelled(tiny_data: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_data / "train", tmp_path / "unlabelled")
    manifest = tmp_path / "unlabelled" / "manifest.json"
    text = manifest.read_text()
    assert '"along"' in text
    import json

    manifest.write_text(json.dumps({**json.loads(text), "classes": []}))
    return tmp_path / "unlabelled"


def test_what_is_there_is_left_alone(tiny_data: Path) -> None:
    asked = config(tiny_data / "train", tiny_data / "validation")
    assert look_at_paths(asked, ()) == (asked, [])
    without = config(tiny_data / "train", None)
    assert look_at_paths(without, ()) == (without, [])


def test_a_preset_s_validation_set_that_is_not_there_switches_the_probe_off(tiny_data: Path) -> None:
    asked = config(tiny_data / "train", Path("no/such/set"))
    found, (note,) = look_at_paths(asked, ())
    assert found.data.validation is None
    assert note.startswith("the kNN probe is off: no validation set at no/such/set; ")
    with pytest.raises(ConfigError, match=r"--data\.validation: no shard set, found no/such/set"):
        look_at_paths(asked, {"data.validation"})


def test_no_labels_switch_the_probe_off(tiny_data: Path, unlabelled: Path) -> None:
    for train, validation in ((unlabelled, tiny_data / "validation"), (tiny_data / "train", unlabelled)):
        found, notes = look_at_paths(config(train, validation), {"data.validation"})
        assert found.data.validation is None
        assert notes == [f"the kNN probe is off: no labels in {unlabelled}"]


def test_the_folder_above_the_sets_is_answered_with_both(tiny_data: Path) -> None:
    fix = rf"use --data\.train {tiny_data}/train --data\.validation {tiny_data}/validation$"
    with pytest.raises(ConfigError, match=fix):
        look_at_paths(config(tiny_data, None), ())


def test_missing_demo_pictures_are_drawn_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"python -m shards demo data/demo$"):
        look_at_paths(load_preset("demo"), ())
    with pytest.raises(ConfigError, match=r"python -m shards build PICTURES OUT"):
        look_at_paths(load_preset("small"), ())


def test_a_checkpoint_or_weights_that_are_not_there_are_refused(tiny_data: Path) -> None:
    asked = config(tiny_data / "train", None)
    with pytest.raises(ConfigError, match=r"--resume: not a checkpoint, found no/such"):
        look_at_paths(replace(asked, resume=Path("no/such")), ())
    with pytest.raises(ConfigError, match=r"--init: no such file or folder, found no/such"):
        look_at_paths(replace(asked, init=Path("no/such")), ())


def test_made_up_pictures_need_no_path() -> None:
    asked = config(Path("no/such"), Path("no/such"))
    asked = replace(asked, data=replace(asked.data, synthetic_images=64))
    assert look_at_paths(asked, ()) == (asked, [])
