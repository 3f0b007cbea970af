"""The faults, and what the run's own lines must call them.

A fault is what a user would meet: slow storage is a slow bucket, a slow rank is a process that is stopped half of the
time. What has no such form (a slow disk below fsync, an optimizer that dawdles, gradients that are not finite) is a
function replaced in the run's process from outside. Lengths are multiples of the run's own step as it was before, so
that they weigh the same on a fast machine and on a slow one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.drill.stable import Hook, Place, Running
from tests.faults.storage import BUCKET, slow_bucket
from tests.faults.trial import EVERY, ONSET, Told, Trial, environment

Act = Callable[[Trial], Told]
END = ONSET + 2 * EVERY
SMALL = {
    "data__batch_size": "16",
    "data__crops": "2x32@0.3-1+2x16@0.08-0.3",
    "data__loader__shuffle_pool": "64",
    "swav__queue_length": "0",
    "optim__epochs": "4",
    "optim__warmup_epochs": "1",
    "checkpoint__every_epochs": "4",
}
FEW = {**SMALL, "optim__epochs": "12", "checkpoint__every_epochs": "12"}
QUIET = ("model-bound", "crowded host", "slower than it could be")
"""What a run without a fault may be told: its own limit, or that the machine is not its own."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault.

    Attributes:
        name: in the table.
        answers: what names it, any of them.
        windows: log windows after its onset within which it must be told.
        act: does it.
    """

    name: str
    answers: tuple[str, ...]
    windows: int
    act: Act


KINDS: list[Kind] = []


def kind(name: str, *answers: str, windows: int = 1) -> Callable[[Act], Act]:
    """Enter a fault into the table."""

    def enter(act: Act) -> Act:
        KINDS.append(Kind(name, answers, windows, act))
        return act

    return enter


@kind("none, one rank", windows=0)
def clean(trial: Trial) -> Told:
    return trial.go(SMALL, steps=END, onset=0)


@kind("none, two ranks", windows=0)
def clean_ranks(trial: Trial) -> Told:
    return trial.go({**SMALL, "data__batch_size": "8"}, steps=END, onset=0, ranks=2)


@kind("slow storage", "input-bound by storage")
def storage(trial: Trial) -> Told:
    speed = trial.folder / "speed"
    speed.write_text("0")

    def slow_down(seconds: float) -> None:
        megabytes = 16 * 0.052  # of a batch
        new = speed.with_suffix(".new")
        new.write_text(str(megabytes / (8 * seconds)))
        new.replace(speed)  # at once: the bucket reads it all the time

    with slow_bucket(trial.work / "demo" / "train", speed) as found:
        options = {**SMALL, "data__loader__tars_at": f"s3://{BUCKET}"}
        return trial.go(options, steps=END, onset=ONSET, hooks=[environment(found), after_onset(slow_down)])


@kind("slow decode", "input-bound by decode", windows=2)
def decode(trial: Trial) -> Told:
    return trial.go(FEW, data="large", steps=2 * EVERY, onset=0, every=EVERY // 2)


@kind("slow crops", "input-bound by crops", windows=2)
def crops(trial: Trial) -> Told:
    whole = {**FEW, "data__crops": "2x16@0.9-1+30x16@0.9-1"}  # each is made of all pixels of a picture
    return trial.go(whole, data="smooth", steps=2 * EVERY, onset=0, every=EVERY // 2)


@kind("slow rank (1 of 2)", "straggler rank 1")
def rank(trial: Trial) -> Told:
    began: dict[int, float] = {}  # when rank 1 began which step
    until = [0.0]

    def stop_in_every_step(running: Running) -> None:
        now, number = time.monotonic(), running.step(1)
        if until[0] and now > until[0]:
            running.kill(1, signal.SIGCONT)
            until[0] = 0.0
        if number not in began:
            began[number] = now
            if number > ONSET:
                usual = (began[ONSET] - began[EVERY]) / (ONSET - EVERY)
                running.kill(1, signal.SIGSTOP)
                until[0] = now + 3 * usual

    options = {**SMALL, "data__batch_size": "8"}
    return trial.go(options, steps=END, onset=ONSET, ranks=2, watch=stop_in_every_step)


@kind("slow optimizer", "optimizer-bound")
def optimizer(trial: Trial) -> Told:
    def dawdle(seconds: float) -> None:
        import swav_dali.method.step as method

        real = method.update

        def update(*args: Any, **kwargs: Any) -> Any:
            time.sleep(3 * seconds)
            return real(*args, **kwargs)

        method.update = update

    return trial.go(SMALL, steps=END, onset=ONSET, hooks=[after_onset(dawdle)])


@kind("slow checkpoint", "checkpoint-bound")
def checkpoint(trial: Trial) -> Told:
    def slow_disk(seconds: float) -> None:
        real = os.fsync

        def fsync(descriptor: Any) -> None:
            time.sleep(EVERY * seconds / 2)  # a checkpoint has several
            real(descriptor)

        os.fsync = fsync

    options = {**SMALL, "checkpoint__every_steps": str(EVERY)}
    first = ONSET + EVERY  # it slows the checkpoint at the end of that window
    return trial.go(options, steps=first + 2 * EVERY, onset=first, hooks=[after_onset(slow_disk)])


def after_onset(act: Callable[[float], None]) -> Hook:
    """Call `act` in every rank as the first step after the onset begins, with the seconds that steps took before it."""

    def hook(_: Place) -> None:
        import swav_dali.run.loop as loop

        real, began = loop._step, list[float]()

        def step(run: Any, batch: Any) -> Any:
            began.append(time.perf_counter())
            if run.clock.step == ONSET and len(began) > 1:
                act((began[-1] - began[EVERY]) / (len(began) - 1 - EVERY))
            return real(run, batch)

        loop._step = step

    return hook
