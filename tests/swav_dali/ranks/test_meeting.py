"""The ranks of a second attempt meet in the store that the dead of the first have written to."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.process import BaseProcess

import pytest
import torch
import torch.distributed as dist
from torch.distributed import TCPStore

from swav_dali.errors import TrainingError
from swav_dali.ranks.group import barrier, from_main, process_group, sum_over_ranks
from swav_dali.ranks.meeting import meet
from swav_dali.ranks.world import World

TIMEOUT = 25.0


def rank_main(rank: int, port: int, dies: bool) -> None:
    """One rank under an agent that keeps its store, as torchrun's does."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE="True")
    world = World(rank=rank, size=2, local_rank=rank, device=torch.device("cpu"))
    if not dies and rank == 1:  # the other one looks for its address before it is there
        init = dist.init_process_group
        dist.init_process_group = lambda *args, **kwargs: time.sleep(1) or init(*args, **kwargs)
    with process_group(world, timeout_seconds=TIMEOUT):
        assert sum_over_ranks(torch.tensor([1.0 + rank])).item() == 3
        assert from_main([rank, "ä", None]) == [0, "ä", None]
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        barrier()


@contextlib.contextmanager
def ranks(port: int, *, dies: int | None) -> Iterator[list[BaseProcess]]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "numpy", "pytest"])
    started = [context.Process(target=rank_main, args=(rank, port, rank == dies), daemon=True) for rank in range(2)]
    for process in started:
        process.start()
    yield started
    for process in started:
        process.kill()
        process.join()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_second_attempt_meets_in_the_store_of_the_first(victim: int) -> None:
    agent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with ranks(agent.port, dies=victim) as first:
        first[victim].join(60)
        assert first[victim].exitcode == -signal.SIGKILL
    with ranks(agent.port, dies=None) as second:
        for process in second:
            process.join(60)
        assert [process.exitcode for process in second] == [0, 0]


def test_a_rank_that_died_before_it_was_welcomed_is_no_part_of_the_attempt() -> None:
    agent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    agent.set("hello/1", "the word of the dead")
    with ranks(agent.port, dies=None) as alive:
        for process in alive:
            process.join(60)
        assert [process.exitcode for process in alive] == [0, 0]


def test_ranks_that_do_not_come_are_an_error_in_time(tmp_path: object) -> None:
    began = time.monotonic()
    with pytest.raises(TrainingError, match="not all ranks came"):
        meet(f"file://{tmp_path}/meeting", rank=0, size=2, timeout=timedelta(seconds=1))
    assert time.monotonic() - began < 10


def test_alone_a_value_of_the_first_rank_is_the_value() -> None:
    assert not dist.is_initialized()
    assert from_main("x") == "x"


def test_a_first_machine_that_is_not_there_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        with pytest.raises(
            TrainingError, match=f"^{address}: the ranks cannot meet, found .*is that machine up"
        ) as said:
            meet(address, rank=1, size=2, timeout=timedelta(seconds=1))
    assert "\n" not in str(said.value)
