"""The command line: presets, options, and one clear line for each mistake."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shards.errors import UserError
from swav_dali.cli import given_keys, parse
from swav_dali.config.options import known_flags
from swav_dali.config.presets import load_preset, preset_lines
from swav_dali.config.saved import flatten
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


def test_prototypes_are_one_number_or_several() -> None:
    one, several = (parse(["demo", "--model.num-prototypes", *words]) for words in (["40"], ["40", "50", "60"]))
    assert (flatten(one)["model.num_prototypes"], one.model.heads) == (40, (40,))
    assert (flatten(several)["model.num_prototypes"], several.model.heads) == ([40, 50, 60], (40, 50, 60))
    for wrong in (["x"], ["40", "1"], []):
        with pytest.raises(UserError, match=r"--model\.num-prototypes"):
            parse(["demo", "--model.num-prototypes", *wrong])


@pytest.mark.parametrize("word", ["none", "None"])
def test_a_preset_s_validation_set_can_be_taken_away(word: str) -> None:
    assert parse(["demo", "--data.validation", word]).data.validation is None
    assert parse(["demo", "--data.validation", "here"]).data.validation == Path("here")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dmeo"], ["unknown preset", "'dmeo'", "did you mean demo?"]),
        (["demo", "--optim.epoch", "3"], ["no such option", "--optim.epoch", "did you mean --optim.epochs?"]),
        (["demo", "--epochs", "3"], ["--epochs", "did you mean --optim.epochs?"]),
        (["demo", "--optim.epochs", "many"], ["--optim.epochs", "many", "a whole number"]),
        (["demo", "--optim.epochs=many"], ["--optim.epochs", "many"]),
        (["demo", "--optim.epochs"], ["--optim.epochs", "no value"]),
        (["demo", "--log.wandb", "of"], ["--log.wandb", "found of", "auto|online|offline|off"]),
        (["demo", "small"], ["small"]),
        (["demo", "--name", "n" * 300], ["--name", "300 bytes", "200 or fewer"]),
        (["demo", "--name", "a\nb"], ["--name", "plain folder name"]),
        (["demo", "--optim.warmup-epochs", "99"], ["--optim.warmup-epochs", "99", "--optim.epochs"]),
        (["demo", "--swav.assign-crops", "0", "5"], ["--swav.assign-crops", "(0, 5)", "0 to 1"]),
        (["demo", "--data.crops", "2x64@2-3"], ["--data.crops", "[2.0, 3.0]"]),
        (["demo", "--data.crops", "2x64,4x32"], ["--data.crops", "2x64,4x32", "2x224+6x96"]),
        (["demo", "--name", "../up"], ["--name", "../up"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_flag(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse(arguments)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


def test_the_short_help_has_under_60_options_each_with_its_value_and_the_long_one_has_all() -> None:
    short, long = run("imagenet_256", "--help").stdout, run("imagenet_256", "--help-all").stdout
    shown, known = (
        [line.split()[0] for line in text.splitlines() if line.startswith("  --")] for text in (short, long)
    )
    assert len(shown) < 60
    assert set(shown) < set(known)
    assert {flag for flag in known_flags() if ".no-" not in flag and not flag.startswith("--no-")} - set(known) == {
        "--data.on-error"
    }
    assert len(re.findall(r"\(default\s", short)) == len(shown)
    assert re.search(r"\(default\s+3840\)", short)
    assert "--optim.momentum" not in short
    assert re.search(r"--optim.epochs N .*\(default\s+200;\s+may\s+grow\s+on\s+resume\)", long)


def test_options_given_are_known_by_their_keys_whatever_their_form() -> None:
    words = ["demo", "--optim.warmup-epochs=3", "--data.on-error", "skip", "--log.no-console", "--name", "x"]
    assert given_keys(words) == {"optim.warmup_epochs", "data.loader.on_error", "log.console", "name"}


def test_a_short_run_of_a_preset_is_not_refused_for_its_warm_up() -> None:
    assert parse(["small", "--optim.epochs", "2"]).optim.warmup_epochs == 1
    assert parse(["imagenet_4096", "--optim.epochs=5"]).optim.warmup_epochs == 2.5
    assert parse(["demo", "--optim.epochs", "1"]).optim.warmup_epochs == 1
    with pytest.raises(ConfigError, match=r"--optim\.warmup-epochs: .*found 3"):
        parse(["small", "--optim.epochs", "2", "--optim.warmup-epochs", "3"])


def on_a_terminal(*arguments: str) -> str:
    """What train.py writes to a terminal of 60 columns."""
    master, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60"}
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments], cwd=ROOT, env=environment, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(master)
    assert process.wait() == 2
    return written.decode()


@pytest.mark.parametrize(
    ("option", "value"), [("--optim.epoch", "3"), ("--optim.epochs", "many"), ("--optim.warmup-epochs", "99")]
)
def test_on_a_terminal_too_a_mistake_is_one_plain_line(option: str, value: str) -> None:
    said = on_a_terminal("demo", option, value)
    assert "\x1b" not in said
    assert not set(said) & set("│╭╮╰╯─")
    assert len(said.splitlines()) == 1
    assert said.startswith("error: ")
    assert option in said


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["demo", "--optim.epoch", "3"], ["nothing"], ["demo", "--data.train", "no/such"], ["--resume", "no"]],
)
def test_help_and_mistakes_are_answered_before_torch_and_dali_are_imported(arguments: list[str]) -> None:
    probe = (
        "import sys, contextlib\n"
        "import swav_dali.cli as cli\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "with contextlib.suppress(ValueError):\n    cli.main()\n"
        "assert not {'torch', 'nvidia', 'wandb'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_lists_presets_and_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in PRESETS)
    assert "examples:" in done.stdout
    assert "exit codes:" in done.stdout


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
