"""What can happen to a run, first part: processes, signals, file operations, disks, clocks, the launcher."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.drill.hooks import at_file_operation, at_step, die, wall_clock
from tests.drill.stable import Running, Watcher
from tests.drill.trial import TOTAL, Skipped, Trial, Verdict, Wrong

Act = Callable[[Trial], Verdict]


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: its name in the table, how many of 300 trials it gets, with how many ranks, and what it does."""

    name: str
    share: int
    ranks: tuple[int, ...]
    act: Act
    is_short: bool


KINDS: list[Kind] = []


def kind(name: str, share: int, *, ranks: tuple[int, ...] = (1,), short: bool = True) -> Callable[[Act], Act]:
    """Enter a fault into the table."""

    def enter(act: Act) -> Act:
        KINDS.append(Kind(name, share, ranks, act, short))
        return act

    return enter


# A run of 20 steps with a checkpoint every 4 does about this many file operations in rank 0 from its start to its end.
OPERATIONS = 110


@kind("kill -9 as a step begins, up to twice", 20)
def kill_at_step(trial: Trial) -> Verdict:
    for number in sorted(trial.dice.sample(range(1, TOTAL), trial.dice.choice((1, 2)))):
        trial.go(hooks=[at_step(number, die)])
    return trial.finish()


@kind("kill -9 at any time", 20)
def kill_any_time(trial: Trial) -> Verdict:
    _signal_any_time(trial, signal.SIGKILL)
    return trial.finish()


@kind("kill -9 before a file operation", 25, ranks=(1, 2))
def kill_at_file_operation(trial: Trial) -> Verdict:
    hook = at_file_operation(trial.dice.randint(1, OPERATIONS), die)
    ended = trial.go(hooks=[hook])
    if ended.is_good:
        return trial.compare()  # it was over before
    return trial.finish()


@kind("checkpoint half renamed: kill -9 between its moves", 15, ranks=(1, 2))
def kill_at_rename(trial: Trial) -> Verdict:
    ended = trial.go(hooks=[at_file_operation(trial.dice.randint(1, 14), die, kinds=("rename", "replace", "rmdir"))])
    return trial.compare() if ended.is_good else trial.finish()


@kind("kill -9 of one of two ranks, started by hand", 12, ranks=(2,))
def kill_one_rank(trial: Trial) -> Verdict:
    victim = trial.dice.randrange(2)
    ended = trial.go(hooks=[at_step(trial.dice.randint(1, TOTAL - 1), die, rank=victim)])
    if 0 in ended.codes:
        raise Wrong(f"codes {ended.codes}")
    return trial.finish()


@kind("kill -9 of one of two ranks, torchrun --max-restarts 1", 20, ranks=(2,))
def kill_and_restart(trial: Trial) -> Verdict:
    hook = at_step(trial.dice.randint(1, TOTAL - 1), die, rank=trial.dice.randrange(2))
    return _recovers(trial, trial.go(hooks=[hook], max_restarts=1).is_good)


@kind("a rank lost during a save, torchrun --max-restarts 1", 10, ranks=(2,))
def lost_during_save(trial: Trial) -> Verdict:
    victim = trial.dice.randrange(2)
    last = 4 if victim else 40
    hook = at_file_operation(trial.dice.randint(1, last), die, rank=victim, kinds=("fsync", "rename"))
    return _recovers(trial, trial.go(hooks=[hook], max_restarts=1).is_good)


@kind("SIGTERM or SIGUSR1 in training (preemption)", 16, ranks=(1, 2))
def preempted(trial: Trial) -> Verdict:
    number = trial.dice.choice((signal.SIGTERM, signal.SIGUSR1))
    targets = trial.dice.choice(([0], [trial.ranks - 1], list(range(trial.ranks))))
    ended = trial.go(watch=_at(trial.dice.randint(1, TOTAL - 2), number, targets))
    if ended.is_good:
        return trial.compare()
    if set(ended.codes) != {75}:
        raise Wrong(f"codes {ended.codes} after {number.name}")
    trial.must_say(ended, number.name, "start it again to continue")
    if not trial.checkpoints:
        raise Wrong("no checkpoint was written")
    return trial.finish()


@kind("SIGTERM or SIGUSR1 at any time", 16, ranks=(1, 2))
def asked_any_time(trial: Trial) -> Verdict:
    number = trial.dice.choice((signal.SIGTERM, signal.SIGUSR1))
    codes = _signal_any_time(trial, number)
    if not set(codes) <= {0, 75}:
        raise Wrong(f"codes {codes} after {number.name}")
    return trial.finish()


@kind("SIGINT at any time", 8, ranks=(1, 2))
def interrupted(trial: Trial) -> Verdict:
    codes = _signal_any_time(trial, signal.SIGINT)
    if not set(codes) <= {0, 2, 130}:  # 2: another rank's interruption, heard of
        raise Wrong(f"codes {codes}")
    return trial.finish()


@kind("SIGTERM to torchrun", 4, ranks=(2,))
def launcher_asked(trial: Trial) -> Verdict:
    step = trial.dice.randint(1, TOTAL - 4)
    ended = trial.go(watch=_at(step, signal.SIGTERM, [0]), max_restarts=0)
    if not ended.is_good and not trial.checkpoints:
        raise Wrong("no checkpoint was written")
    return trial.finish()


@kind("SIGSTOP of one rank for three seconds", 4, ranks=(2,))
def stopped_for_a_while(trial: Trial) -> Verdict:
    victim, begin = trial.dice.randrange(2), trial.dice.randint(1, TOTAL - 2)
    since: list[float] = []

    def watch(running: Running) -> None:
        if not since and running.step() >= begin:
            running.kill(victim, signal.SIGSTOP)
            since.append(time.monotonic())
        elif len(since) == 1 and time.monotonic() - since[0] > 3:
            running.kill(victim, signal.SIGCONT)
            since.append(0)

    return _recovers(trial, trial.go(watch=watch).is_good)


@kind("disk full for two seconds", 10)
def disk_full_for_a_while(trial: Trial) -> Verdict:
    with _small_disk(trial) as disk:
        begin, since = trial.dice.choice((1, 2, 5, 6, 9)), list[float]()

        def watch(running: Running) -> None:
            if not since and running.step() >= begin:
                disk.fill()
                since.append(time.monotonic())
            elif since and disk.is_full and time.monotonic() - since[0] > 2:
                disk.free()

        ended = trial.go(watch=watch)
        disk.free()
        if ended.is_good:
            trial.must_say(ended, "caught up")
            return trial.compare()
        trial.refused(ended, "No space left")
        return trial.finish()


@kind("disk full at a checkpoint and from then on", 8, ranks=(1, 2))
def disk_full_at_checkpoint(trial: Trial) -> Verdict:
    with _small_disk(trial) as disk:
        begin = trial.dice.choice((8, 12, 16))

        def watch(running: Running) -> None:
            if running.step() >= begin - 2 and not disk.is_full:
                disk.fill()

        ended = trial.go(watch=watch)
        trial.refused(ended, "No space left")
        if not trial.checkpoints:
            raise Wrong("the older checkpoint has gone")
        if list((trial.run_folder / "checkpoints").glob(".step-*")):
            raise Wrong("a draft was left on the full disk")
        disk.free()
        return trial.finish()


@kind("runs folder that cannot be written", 3)
def bad_runs_folder(trial: Trial) -> Verdict:
    (trial.folder / "runs").write_text("a file")
    return trial.refused(trial.go(), "--runs-dir")


@kind("two jobs in one folder", 8, ranks=(1, 2))
def two_jobs(trial: Trial) -> Verdict:
    begin, said = trial.dice.randint(1, TOTAL // 2), list[str]()
    second = Trial(trial.work, trial.folder / "second", trial.dice, 1)
    second.folder = trial.folder
    second.num_starts = 10

    def watch(running: Running) -> None:
        if not said and running.step() >= begin:
            said.append("")
            ended = second.go(optim__base_lr="0.7", resume=trial.dice.choice(("auto", "never")))
            second.refused(ended, "another job is training here", "process")

    return _recovers(trial, trial.go(watch=watch).is_good)


@kind("clock jumps by days during a run", 6)
def clock_jumps(trial: Trial) -> Verdict:
    days = trial.dice.choice((-3000, -2, 2, 3000)) * 86_400
    ended = trial.go(hooks=[wall_clock(lambda now: now + days, at=trial.dice.randint(0, 15))])
    return _recovers(trial, ended.is_good)


@kind("clock set back between kill and start", 4)
def clock_set_back(trial: Trial) -> Verdict:
    trial.go(hooks=[at_step(trial.dice.randint(5, 15), die)])
    ended = trial.go(hooks=[wall_clock(lambda now: now - 3000 * 86_400)])
    return _recovers(trial, ended.is_good)


@kind("reader of standard output goes (| head -1)", 4)
def reader_goes(trial: Trial) -> Verdict:
    reading, writing = os.pipe()

    with subprocess.Popen(["head", "-1"], stdin=reading, stdout=subprocess.DEVNULL):
        os.close(reading)
        try:
            ended = trial.go(stdout=writing)
        finally:
            os.close(writing)
    return _recovers(trial, ended.is_good)


@kind("standard output closed from the start", 2)
def closed_from_the_start(trial: Trial) -> Verdict:
    def close(_: object) -> None:
        os.close(1)
        sys.stdout = None  # what Python makes of it

    return _recovers(trial, trial.go(hooks=[close]).is_good)


@kind("learning rate that breaks the weights", 6, ranks=(1, 2))
def huge_rate(trial: Trial) -> Verdict:
    rate = trial.dice.choice(("1e30", "inf", "1e18"))
    return trial.refused(trial.go(optim__base_lr=rate, optim__start_lr="0.1"), "finite")


@kind("restart with another number of ranks", 6, ranks=(1, 2))
def other_world(trial: Trial) -> Verdict:
    trial.go(hooks=[at_step(trial.dice.randint(5, 15), die)])
    ended = trial.go(ranks=3 - trial.ranks)
    if not ended.is_good:
        raise Wrong(f"codes {ended.codes}")
    trial.must_say(ended, "starts again")
    steps = [record["step"] for record in trial.records() if "loss" in record]
    if steps != list(range(1, TOTAL + 1)):
        raise Wrong(f"steps {steps}")
    return "as said"


class _SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"
        self.is_full = False

    def fill(self) -> None:
        self.is_full = True
        with contextlib.suppress(OSError), self.ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)

    def free(self) -> None:
        self.is_full = False
        self.ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def _small_disk(trial: Trial) -> Iterator[_SmallDisk]:
    """A real file system of 64 MB under runs/."""
    runs = trial.folder / "runs"
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "drill", str(runs)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Skipped("mounting a small disk needs root")
    try:
        yield _SmallDisk(runs)
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)


def _recovers(trial: Trial, is_good: bool) -> Verdict:
    if not is_good:
        raise Wrong("it did not go on by itself")
    return trial.compare()


def _at(step: int, number: int, targets: list[int]) -> Watcher:
    """Send a signal once rank 0 has begun `step`."""
    is_sent = False

    def watch(running: Running) -> None:
        nonlocal is_sent
        if not is_sent and running.step() >= step:
            is_sent = True
            for target in targets:
                running.kill(target, number)

    return watch


def _signal_any_time(trial: Trial, number: int) -> list[int]:
    """Send a signal to all ranks, some moment between the first import and a little before the usual end."""
    after = trial.dice.uniform(0.05, 1.0)
    usual = trial.usual_seconds()
    is_sent = False

    def watch(running: Running) -> None:
        nonlocal is_sent
        if not is_sent and time.monotonic() - running.began > after * usual:
            is_sent = True
            for index in range(len(running.pids)):
                running.kill(index, number)

    return trial.go(watch=watch).codes
