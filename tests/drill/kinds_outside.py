"""What can happen to a run, third part: the network between hosts, and wandb."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import training
from hosts import CABLE, Unavailable, two_hosts

from tests.drill.hooks import at_step, die
from tests.drill.kinds import kind
from tests.drill.stable import Hook, Place, Running
from tests.drill.trial import TOTAL, Skipped, Trial, Verdict, Wrong

_KEY = "0123456789abcdef" * 2 + "01234567"


@kind("cable between two hosts cut for seconds and plugged in again", 8, ranks=(2,))
def cable_cut(trial: Trial) -> Verdict:
    begin, length = trial.dice.randint(1, TOTAL - 2), trial.dice.choice((0.5, 1, 2, 4, 8))
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(two_hosts())
        except Unavailable as reason:
            raise Skipped(str(reason)) from reason
        since: list[float] = []

        def watch(running: Running) -> None:
            if not since and running.step() >= begin:
                hosts.cut()
                since.append(time.monotonic())
            elif len(since) == 1 and time.monotonic() - since[0] > length:
                hosts.join()
                since.append(0)

        ended = trial.go(watch=watch, namespaces=hosts.namespaces, hooks=[_use_cable])
    if not ended.is_good:
        raise Wrong(f"a cut of {length} s at step {begin}: codes {ended.codes}")
    return trial.compare()


@kind("wandb: a key and a server that refuses or never answers", 6)
def wandb_without_server(trial: Trial) -> Verdict:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if trial.dice.random() < 0.5:
            server.listen()
        ended = trial.go(hooks=[_with_key(server.getsockname()[1])], log__wandb="auto")
    if not ended.is_good:
        raise Wrong(f"codes {ended.codes}")
    trial.must_say(ended, "wandb is offline for this start")
    _refuse_key(trial)
    return trial.compare()


@kind("wandb: its process killed", 4)
def wandb_killed(trial: Trial) -> Verdict:
    def kill_service() -> None:
        for pid in training.descendants(os.getpid()):
            if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    ended = trial.go(hooks=[at_step(trial.dice.randint(2, 10), kill_service)], log__wandb="offline")
    if not ended.is_good:
        raise Wrong(f"codes {ended.codes}")
    return trial.compare()


@kind("wandb offline and kill -9", 4)
def wandb_offline_killed(trial: Trial) -> Verdict:
    hook = at_step(trial.dice.randint(2, 15), die)
    trial.go(hooks=[_with_key(9), hook], log__wandb="offline")
    verdict = trial.finish(log__wandb="offline")
    if len(list((trial.run_folder / "wandb").glob("offline-run-*"))) != 2:
        raise Wrong("not one wandb folder a start")
    _refuse_key(trial)
    return verdict


def _with_key(port: int) -> Hook:
    def hook(_: Place) -> None:
        os.environ.update(WANDB_API_KEY=_KEY, WANDB_BASE_URL=f"http://127.0.0.1:{port}")

    return hook


def _refuse_key(trial: Trial) -> None:
    told = [path for path in trial.folder.rglob("*") if path.is_file() and _KEY.encode() in path.read_bytes()]
    if told:
        raise Wrong(f"wandb's key is in {told[0].name}")


def _use_cable(_: Place) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = CABLE
