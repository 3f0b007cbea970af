"""Every flag of every command reaches the code: a run with it differs from the same run without it, in what a person
sees, in the exit code, in the files, or in the workers asked for."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tars import write_tar

from shards.__main__ import main
from shards.building.crew import Crew
from shards.commands import build, check, demo, index, info, stage
from shards.errors import run_command

COMMANDS = (build, check, demo, index, info, stage)
Make = Callable[..., bytes]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, the flag under test, and command lines that prepare the place."""

    line: str
    flag: str
    before: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.line.split()[0]} {self.flag.split()[0]}"


BUILT = ("build tree out --allow-drops",)
CASES = [
    Case(line="build tree out", flag="--seed 7"),
    Case(line="build tree out", flag="--name other"),
    Case(line="build tree out", flag="--shard-mib 0.01"),
    Case(line="build tree out", flag="--num-shards 3"),
    Case(line="build tree out", flag="--shard-multiple 4"),
    Case(line="build tree out", flag="--sequential"),
    Case(line="build tree out --seed 7", flag="--overwrite", before=BUILT),
    Case(line="build tree out", flag="--dry-run"),
    Case(line="build tree out", flag="--on truncated=stop"),
    Case(line="build tree out", flag="--allow-drops"),
    Case(line="build tree out", flag="--max-pixels 100"),
    Case(line="build tree out", flag="--no-decode"),
    Case(line="build tree out", flag="--short-side 8"),
    Case(line="build tree out --short-side 8", flag="--quality 30"),
    Case(line="build flat.tar out", flag="--labels names.txt"),
    Case(line="build tree out", flag="--layout flat"),
    Case(line="build hub out", flag="--include train-*"),
    Case(line="build hub out", flag="--label-field json:y"),
    Case(line="build flat.tar out", flag="--verify-archives"),
    Case(line="build tree out", flag="--scratch here"),
    Case(line="build tree out", flag="--workers 5"),
    Case(line="build tree out", flag="--dask tcp://somewhere:1"),
    Case(line="check out", flag="--quick", before=BUILT),
    Case(line="check out", flag="--full", before=BUILT),
    Case(line="check out", flag="--world-size 3", before=BUILT),
    Case(line="check out", flag="--batch-size 3", before=BUILT),
    Case(line="check out", flag="--workers 5", before=BUILT),
    Case(line="info out", flag="--picture sheet.png", before=BUILT),
    Case(line="info out --picture sheet.png", flag="--max-classes 1", before=BUILT),
    Case(line="index tars", flag="--classes classes.txt"),
    Case(line="index hub", flag="--include train-*"),
    Case(line="index hub", flag="--label-field json:y"),
    Case(line="index tars", flag="--allow-drops"),
    Case(line="index tars", flag="--workers 5"),
    Case(line="stage out copy", flag="--without-tars", before=BUILT),
    Case(line="stage out copy", flag="--threads 3", before=BUILT),
    Case(line="publish out copy", flag="--threads 3", before=(*BUILT, "mkdir copy")),
    Case(line="demo out --train 4 --validation 4", flag="--seed 3"),
    Case(line="demo out --train 4 --validation 4", flag="--train 3"),
    Case(line="demo out --train 4 --validation 4", flag="--validation 3"),
    Case(line="demo out --train 3 --validation 4", flag="--overwrite", before=("demo out --train 4 --validation 4",)),
    Case(line="demo out --train 4 --validation 4", flag="--workers 5"),
]


@dataclass(kw_only=True)
class Outcome:
    """All that a run shows, without figures of speed and without records, which hold the times of the inputs."""

    code: int
    printed: str
    files: dict[str, bytes]
    asked: list[Any] = field(default_factory=list)


def flags_of_all_commands() -> set[str]:
    subparsers = argparse.ArgumentParser().add_subparsers()
    for command in COMMANDS:
        command.add_parser(subparsers)  # type: ignore[arg-type]
    return {
        f"{name} {action.option_strings[-1]}"
        for name, parser in subparsers.choices.items()
        for action in parser._actions
        if action.option_strings and action.dest != "help"
    }


@pytest.fixture
def run_in(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inline_crew: Crew,
    files_of: Callable[[Path], dict[str, bytes]],
) -> Callable[[Path, str], Outcome]:
    """Runs a command line in a folder, in this process, and tells which workers it asked for."""
    asked: list[Any] = []

    def crew(*args: Any) -> AbstractContextManager[Crew]:
        asked.append(args)
        return nullcontext(inline_crew)

    def pool(*args: Any) -> AbstractContextManager[Executor]:
        asked.append(args)
        return nullcontext(inline_crew.executor)

    def threads(number: int) -> ThreadPoolExecutor:
        asked.append(number)
        return ThreadPoolExecutor(number)

    for module, name, stand_in in (
        (build, "local_crew", crew),
        (build, "dask_crew", lambda address: crew("dask", address)),
        (demo, "local_crew", crew),
        (check, "local_pool", pool),
        (index, "local_pool", pool),
    ):
        monkeypatch.setattr(module, name, stand_in)
    monkeypatch.setattr("shards.remote.copies.ThreadPoolExecutor", threads)

    def run(folder: Path, line: str) -> Outcome:
        asked.clear()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["shards", *line.split()])
        code = run_command(main)
        out, err = capsys.readouterr()
        speed = re.compile(r"[\d,.]+ (images|MB)/s.*")
        files = {name: content for name, content in files_of(folder).items() if "/.build/" not in name}
        return Outcome(code=code, printed=speed.sub("", out + err), files=files, asked=list(asked))

    return run


def prepare(folder: Path, make_tree: Callable[..., Path], make_picture: Make) -> Path:
    """A tree with one cut picture, a flat tar with a list of classes, a folder of foreign tars with a cut one, and one
    of two splits with labels in JSON.
    """
    make_tree(folder / "tree", {"cat": 10, "dog": 10})
    (folder / "tree" / "cat" / "cut.jpg").write_bytes(make_picture(1, size=(64, 64))[:-500])
    pictures = [(f"{number}.jpg", make_picture(number)) for number in range(3)]
    write_tar(folder / "flat.tar", pictures)
    (folder / "names.txt").write_text("a\nb\nc\n")
    (folder / "classes.txt").write_text("ant\nbee\n")
    (folder / "tars").mkdir()
    labels = [(f"{number}.cls", b"1") for number in range(3)]
    members = sorted([*pictures[1:], *labels, ("0.jpg", pictures[0][1][:-90])])
    write_tar(folder / "tars" / "x.tar", members)
    (folder / "hub").mkdir()
    for split, number in (("train", 1), ("val", 2)):
        write_tar(folder / "hub" / f"{split}-0.tar", [("a.jpg", make_picture(number)), ("a.json", b'{"y": 1}')])
    return folder


def test_every_flag_has_a_case() -> None:
    assert {case.name for case in CASES} == flags_of_all_commands()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_flag_makes_a_difference(
    tmp_path: Path,
    case: Case,
    make_tree: Callable[..., Path],
    make_picture: Make,
    run_in: Callable[[Path, str], Outcome],
) -> None:
    outcomes = []
    for name, line in (("without", case.line), ("with", f"{case.line} {case.flag}"), ("again", case.line)):
        folder = prepare(tmp_path / name, make_tree, make_picture)
        for earlier in case.before:
            if earlier.startswith("mkdir "):
                (folder / earlier.removeprefix("mkdir ")).mkdir()
            else:
                assert run_in(folder, earlier).code == 0
        outcomes.append(run_in(folder, line))
    without, with_flag, again = outcomes
    assert with_flag != without
    assert again == without  # so the flag alone made the difference


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("build tree out --quality 80", "error: --quality: pictures are only encoded again when they are shrunk"),
        (
            "build tree out --num-shards 22",
            "error: --num-shards: more shards than samples, found 22, expected at most 21",
        ),
        ("build tree out --shard-multiple 22", "error: --shard-multiple: more shards than samples, found 22"),
        ("build tree out --num-shards 9 --shard-multiple 4", "found 9, expected a multiple of 4"),
        ("build tree out --labels names.txt", "error: --labels: only a flat tar takes labels from a file"),
    ],
)
def test_a_flag_without_use_is_refused(
    tmp_path: Path,
    make_tree: Callable[..., Path],
    make_picture: Make,
    run_in: Callable[[Path, str], Outcome],
    line: str,
    message: str,
) -> None:
    outcome = run_in(prepare(tmp_path / "place", make_tree, make_picture), line)
    assert outcome.code == 2
    assert message in outcome.printed
    assert not (tmp_path / "place" / "out").exists()


def test_sequential_reads_in_order_through_the_command(
    tmp_path: Path, make_tree: Callable[..., Path], make_picture: Make, run_in: Callable[[Path, str], Outcome]
) -> None:
    outcome = run_in(prepare(tmp_path / "place", make_tree, make_picture), "build tree out --sequential")
    assert "reading in order: 21/21 images" in outcome.printed
