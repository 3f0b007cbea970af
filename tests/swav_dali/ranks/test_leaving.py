"""A signal to any rank is one step for all, at which they leave; outside of the steps it is answered at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from swav_dali.errors import Stopped
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.group import barrier, process_group
from swav_dali.ranks.leaving import Leaving, leave_together
from swav_dali.ranks.world import World

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def test_a_signal_during_a_step_is_due_after_that_step() -> None:
    with leave_together(ALONE) as leaving, leaving.loop(0):
        assert not leaving.is_due(1)
        os.kill(os.getpid(), signal.SIGUSR1)
        until = time.monotonic() + 10
        while not leaving.asked_by and time.monotonic() < until:
            time.sleep(0.01)
        assert leaving.is_due(2)
        assert leaving.asked_by == "SIGUSR1"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # torchrun's own, on the way out
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_a_second_signal_does_not_cut_the_answer_to_the_first_one_short() -> None:
    with leave_together(ALONE) as leaving:
        with leaving.loop(0):
            signal.raise_signal(signal.SIGTERM)
            until = time.monotonic() + 10
            while not leaving.asked_by and time.monotonic() < until:
                time.sleep(0.01)
            assert leaving.is_due(1)
        signal.raise_signal(signal.SIGTERM)  # torchrun's, while the sinks are closing
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_a_signal_outside_of_the_steps_stops_at_once() -> None:
    with pytest.raises(Stopped, match="SIGTERM outside"), leave_together(ALONE):
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_without_a_signal_handlers_and_descriptors_are_those_of_before() -> None:
    before = signal.getsignal(signal.SIGTERM), len(list(Path("/proc/self/fd").iterdir()))
    with leave_together(ALONE) as leaving, leaving.loop(3):
        assert not leaving.is_due(4)
    assert (signal.getsignal(signal.SIGTERM), len(list(Path("/proc/self/fd").iterdir()))) == before


def train_until_asked(rank: int, folder: Path, results: Connection) -> None:
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    world = World(rank=rank, size=2, local_rank=rank, device=torch.device("cpu"), rendezvous=meeting)
    with process_group(world), abort_together(world), leave_together(world) as leaving, leaving.loop(0):
        for step in range(1, 2000):
            barrier()
            if step == 20:
                (folder / f"begun-{rank}").touch()
            if leaving.is_due(step):
                results.send(step)
                raise SystemExit(Stopped.EXIT_CODE)
            time.sleep(0.005 * rank)


@pytest.mark.parametrize("asked", [[0], [1], [0, 1]])
def test_ranks_leave_after_the_same_step(tmp_path: Path, asked: list[int]) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "numpy", "pytest"])
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    started = [context.Process(target=train_until_asked, args=(rank, tmp_path, pipes[rank][1])) for rank in range(2)]
    for process in started:
        process.start()
    until = time.monotonic() + 60
    while not all((tmp_path / f"begun-{rank}").exists() for rank in range(2)) and time.monotonic() < until:
        time.sleep(0.01)
    for rank in asked:
        os.kill(started[rank].pid or 0, signal.SIGTERM)
    for process in started:
        process.join(30)
        process.kill()
    assert [process.exitcode for process in started] == [Stopped.EXIT_CODE] * 2
    steps = [receiver.recv() for receiver, _ in pipes]
    assert steps[0] == steps[1] > 20


def test_a_run_that_nobody_asks_never_waits() -> None:
    leaving = Leaving()
    with leaving.loop(0):
        assert not any(leaving.is_due(step) for step in range(1, 1000))


@pytest.mark.parametrize("has_met", [False, True])
def test_ranks_leave_a_probe_together_or_not_before_the_next_step(has_met: bool) -> None:
    """Both are in the probe after step 1; with `has_met` one of them is past the point where collectives begin."""
    store = dist.HashStore()
    first, second = (Leaving(rank, 2, store) for rank in range(2))
    with first.loop(0), second.loop(0):
        assert not first.is_due(1)
        assert not second.is_due(1)
        assert not (has_met and second.is_due_in_probe(1))
        threads = [threading.Thread(target=rank._hear, args=("SIGTERM",)) for rank in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert first.is_due_in_probe(1) is not has_met
        assert first.is_due_in_probe(1) is not has_met  # it may ask for every batch
        assert (second.is_due(2) if has_met else second.is_due_in_probe(1)) is True
        assert first.is_due(2) is True
