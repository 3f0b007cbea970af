"""One trial: a training run with a fault in it, ended once the windows are over in which its lines must name it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import training

from tests.drill.stable import Hook, Running, Watcher, start

EVERY = 8
"""Steps of a log window."""
ONSET = 2 * EVERY
"""Steps before a fault that begins in mid-run: two windows, of which the first is never judged."""


class Broken(Exception):  # noqa: N818
    """The run did not get as far as the trial needs."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the run's lines said.

    Attributes:
        before: verdicts and symptoms up to the onset.
        after: those told later, in order, with the window after the onset (1 is the first) in which each was told.
        standing: the verdict that stood at the end.
        crowded: mean share of the time that the loop lacked a core that others held, as the run itself measured it.
    """

    before: list[str]
    after: list[tuple[str, int]]
    standing: str
    crowded: float


@dataclass(slots=True)
class Trial:
    """What a fault works with.

    Attributes:
        work: the harness's folder, with the data.
        folder: this trial's.
        seed: of the run.
    """

    work: Path
    folder: Path
    seed: int
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    @property
    def run_folder(self) -> Path:
        return self.folder / "runs" / "run"

    def go(
        self,
        options: dict[str, str],
        *,
        data: str = "demo",
        steps: int,
        onset: int,
        every: int = EVERY,
        ranks: int = 1,
        hooks: Sequence[Hook] = (),
        watch: Watcher | None = None,
        timeout: float = 400.0,
    ) -> Told:
        """Run until `steps` are done and recorded, and read what was told of a fault that began after `onset`."""
        options = {"seed": str(self.seed), "log__every_steps": str(every), "data__validation": "none", **options}
        command = training.command(self.work / data, self.folder / "runs", "run", **options)
        arguments = command[command.index("train.py") + 1 :]

        def look(running: Running) -> None:
            if watch is not None:
                watch(running)
            if running.step() > steps and self._recorded() >= steps:
                for index in range(len(running.pids)):
                    running.kill(index, signal.SIGKILL)  # the files are complete up to their last line

        ended = start(arguments, self.folder / "start", ranks=ranks, hooks=hooks, watch=look, timeout=timeout)
        self.log.append(f"codes {ended.codes}, {ended.seconds:.0f} s; {ended.err.strip()[-400:]}")
        if self._recorded() < steps and not any("not finite" in text for text in self._events("health")):
            raise Broken(f"ended at step {self._recorded()} of {steps}: {ended.err.strip()[-300:]}")
        return self._told(onset, every)

    def _recorded(self) -> int:
        return max((int(record["step"]) for record in self._lines("metrics.jsonl")), default=0)

    def _events(self, *kinds: str) -> list[str]:
        return [event["text"] for event in self._lines("events.jsonl") if event["kind"] in kinds]

    def _told(self, onset: int, every: int) -> Told:
        events = [event for event in self._lines("events.jsonl") if event["kind"] in ("verdict", "health")]
        named = [(event["text"].split(":")[0], int(event["step"]), event["kind"]) for event in events]
        verdicts = [name for name, _, kind in named if kind == "verdict"]
        records = [record for record in self._lines("metrics.jsonl") if "loop_crowded_share" in record]
        shares = [record["loop_crowded_share"] for record in records]
        return Told(
            before=[name for name, step, _ in named if step <= onset],
            after=[(name, -((onset - step) // every)) for name, step, _ in named if step > onset],
            standing=verdicts[-1] if verdicts else "",
            crowded=sum(shares) / max(1, len(shares)),
        )

    def _lines(self, name: str) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            text = (self.run_folder / name).read_text()
            return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return []


def environment(values: dict[str, str]) -> Hook:
    """Set environment variables in every rank."""
    return lambda _: os.environ.update(values)
