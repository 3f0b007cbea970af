"""One trial: a run that a fault befalls, started again, and compared with a run that nothing befell."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import training

from tests.drill.stable import Ended, Hook, Watcher, read_records, start

Verdict = Literal["same bits", "refused", "as said", "skipped", "WRONG", "HUNG"]
STEPS_PER_EPOCH, EPOCHS = 10, 2
TOTAL = STEPS_PER_EPOCH * EPOCHS
OPTIONS = {"data__validation": "none", "checkpoint__every_steps": "4", "optim__epochs": str(EPOCHS)}
FLAGS = ("--log.no-headspace",)  # it is half of the steps of a run as small as this
BATCH = {1: "4", 2: "2"}


class Wrong(Exception):  # noqa: N818
    """A trial did not end as it should."""


class Skipped(Exception):  # noqa: N818
    """This machine cannot do a trial."""


@dataclass(slots=True)
class Trial:
    """What a fault works with; each trial has a folder of its own.

    Attributes:
        work: the drill's folder, with the data and the undisturbed runs.
        folder: this trial's.
        dice: seeded for this trial.
        ranks: processes.
    """

    work: Path
    folder: Path
    dice: random.Random
    ranks: int
    log: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    data: Path = Path()
    num_starts: int = 0

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.data = self.work / "data"

    @property
    def run_folder(self) -> Path:
        return self.folder / "runs" / "run"

    @property
    def checkpoints(self) -> list[Path]:
        return sorted((self.run_folder / "checkpoints").glob("step-*"))

    def own_data(self) -> Path:
        """A copy of the shards that a fault may spoil."""
        self.data = self.folder / "data"
        if not self.data.exists():
            shutil.copytree(self.work / "data", self.data)
        return self.data

    def go(
        self,
        *,
        hooks: Sequence[Hook] = (),
        watch: Watcher | None = None,
        ranks: int | None = None,
        max_restarts: int | None = None,
        namespaces: Sequence[str] = (),
        stdout: int | None = None,
        timeout: float = 150.0,
        **changes: str,
    ) -> Ended:
        """Start the run, or start it again."""
        size = ranks or self.ranks
        options = {**OPTIONS, "data__batch_size": BATCH[size], **self.options, **changes}
        command = training.command(self.data, self.folder / "runs", options.pop("name", "run"), **options)
        self.num_starts += 1
        ended = start(
            [*command[command.index("train.py") + 1 :], *FLAGS],
            self.folder / f"start-{self.num_starts}",
            ranks=size,
            hooks=hooks,
            watch=watch,
            max_restarts=max_restarts,
            namespaces=namespaces,
            stdout=stdout,
            timeout=timeout,
        )
        self.log.append(f"start {self.num_starts}: codes {ended.codes}, {ended.seconds:.1f} s; {_last_line(ended.err)}")
        if ended.is_hung:
            raise TimeoutError(f"start {self.num_starts} hung")
        return ended

    def records(self) -> list[dict[str, Any]]:
        """Of metrics.jsonl."""
        return read_records(self.run_folder)

    def usual_seconds(self) -> float:
        """What an undisturbed run took on this machine."""
        return float((self.work / f"reference-{self.ranks}" / "seconds.txt").read_text())

    def finish(self, **changes: Any) -> Verdict:
        """Start again without a fault: the run must end, and with the bits of the undisturbed one."""
        ended = self.go(**changes)
        if not ended.is_good:
            raise Wrong(f"the next start failed: {_last_line(ended.err)}")
        return self.compare()

    def compare(self) -> Verdict:
        """The last checkpoint and every loss against the undisturbed run's."""
        reference = self.work / f"reference-{self.ranks}" / "runs" / "run"
        ours, theirs = self.checkpoints[-1], sorted((reference / "checkpoints").glob("step-*"))[-1]
        if ours.name != theirs.name:
            raise Wrong(f"ended at {ours.name}, not at {theirs.name}")
        for path in sorted(theirs.glob("*.pt")):
            where = _difference(torch.load(ours / path.name, weights_only=True), torch.load(path, weights_only=True))
            if where:
                raise Wrong(f"{path.name} differs in {where}")
        if _losses(self.run_folder) != _losses(reference):
            raise Wrong("metrics.jsonl has other losses or steps")
        return "same bits"

    def refused(self, ended: Ended, *words: str, before: dict[str, str] | None = None) -> Verdict:
        """The start must have ended in one clear line with these words, and spoiled nothing.

        Where ranks meet the same trouble at once, each may say what it found, if all of it has these words.
        """
        lines = {re.sub(r"^error: (rank \d+: )?", "", line) for line in _errors(ended.err)}
        errors = {line for line in lines if "connection to another rank is lost" not in line} or lines
        if all(code == 0 for code in ended.codes):
            raise Wrong("it went on without a word")
        if "Traceback" in ended.err:
            raise Wrong(f"a traceback: {_last_line(ended.err)}")
        is_shared = bool(words) and len(errors) <= self.ranks and all(word in line for line in errors for word in words)
        if len(errors) != 1 and not (errors and is_shared):
            raise Wrong(f"{len(errors)} error lines: {ended.err[-300:]!r}")
        missing = [word for word in words if word not in ended.err]
        if missing:
            raise Wrong(f"the error does not say {missing}: {_last_line(ended.err)}")
        if before is not None and (spoiled := _spoiled(before, snapshot(self.run_folder))):
            raise Wrong(f"changed: {', '.join(spoiled)}")
        return "refused"

    def must_say(self, ended: Ended, *words: str) -> None:
        """The start must have said these words, to the console or in events.jsonl."""
        events = self.run_folder / "events.jsonl"
        said = ended.out + ended.err + (events.read_text(errors="replace") if events.exists() else "")
        missing = [word for word in words if word.lower() not in said.lower()]
        if missing:
            raise Wrong(f"nothing said of {missing}")


def snapshot(folder: Path) -> dict[str, str]:
    """Every file's path and checksum, without the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _spoiled(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]


def _errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _losses(folder: Path) -> list[tuple[int, float]]:
    return [(record["step"], record["loss"]) for record in read_records(folder) if "loss" in record]


def _difference(ours: Any, theirs: Any, where: str = "") -> str:
    """The first place in which two states differ; clocks are no state."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict) or ours.keys() != theirs.keys():
            return where or "keys"
        found = [_difference(ours[key], theirs[key], f"{where}/{key}") for key in theirs if key != "seconds"]
        return next((place for place in found if place), "")
    if isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            return where
        found = [_difference(a, b, f"{where}/{i}") for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
        return next((place for place in found if place), "")
    if isinstance(theirs, torch.Tensor):
        return "" if torch.equal(ours, theirs) else where
    return "" if ours == theirs else where
