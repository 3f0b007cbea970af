"""The command line: presets, options, and one clear line for each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swav_dali.cli import parse
from swav_dali.config.presets import load_preset, preset_lines
from swav_dali.errors import ConfigError

ROOT = Path(__file__).parents[2]
PRESETS = [line.split()[0] for line in preset_lines()]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_no_argument_is_the_demo() -> None:
    assert parse([]) == load_preset("demo")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_named_after_itself(name: str) -> None:
    assert parse([name]).name == name


def test_options_reach_nested_values_and_crops_are_one_word() -> None:
    config = parse(["demo", "--optim.epochs", "3", "--data.crops", "2x48@0.3-1+4x32", "--data.augment.blur", "0"])
    assert config.optim.epochs == 3
    assert [(group.num, group.size) for group in config.data.crops] == [(2, 48), (4, 32)]
    assert config.data.augment.blur == 0


@pytest.mark.parametrize("word", ["none", "None"])
def test_a_preset_s_validation_set_can_be_taken_away(word: str) -> None:
    assert parse(["demo", "--data.validation", word]).data.validation is None
    assert parse(["demo", "--data.validation", "here"]).data.validation == Path("here")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dmeo"], ["unknown preset", "'dmeo'", "did you mean demo?"]),
        (["demo", "--optim.epoch", "3"], ["--optim.epoch", "--optim.epochs"]),
        (["demo", "--optim.epochs", "many"], ["--optim.epochs", "many"]),
        (["demo", "--optim.warmup-epochs", "99"], ["--optim.warmup-epochs", "99", "--optim.epochs"]),
        (["demo", "--swav.assign-crops", "0", "5"], ["--swav.assign-crops", "(0, 5)", "0 to 1"]),
        (["demo", "--data.crops", "2x64@2-3"], ["--data.crops", "[2.0, 3.0]"]),
        (["demo", "--data.crops", "2x64,4x32"], ["--data.crops", "2x64,4x32", "2x224+6x96"]),
        (["demo", "--name", "../up"], ["--name", "../up"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_flag(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(arguments)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


def test_help_lists_presets_and_examples_without_loading_torch() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in PRESETS)
    assert "examples:" in done.stdout
    probe = (
        "import sys; sys.argv[1:] = ['--help']; import swav_dali.cli as c; c.main(); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "unknown preset"),
        (["demo", "--optim.epochss", "1"], "--optim.epochss"),
        (["demo", "--data.train", "no/such/folder"], "no/such/folder"),
    ],
)
def test_the_process_exits_with_one_line_and_no_traceback(arguments: list[str], words: str, tmp_path: Path) -> None:
    options = ["--runs-dir", str(tmp_path)] if arguments[0] == "demo" else []
    done = run(*arguments, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
