"""One rank's error reaches every rank in time, also those that wait in a collective."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import training

from shards.errors import UserError, run_command
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.group import barrier, process_group
from swav_dali.ranks.world import World

SAMPLE = "shard-000007.tar: 000012.jpg at byte 512: cannot be decoded"
Behaviour = Callable[[World], None]


def one_fails(world: World) -> None:
    if world.rank == 1:
        raise UserError("cannot be decoded", where="shard-000007.tar: 000012.jpg at byte 512")
    barrier()


def the_first_has_a_bug(world: World) -> None:
    if world.rank == 0:
        raise ZeroDivisionError("of ours")
    barrier()


def all_fail(world: World) -> None:
    raise UserError("too small", where="--data.batch-size")


def the_second_is_late(world: World) -> None:
    time.sleep(0.7 * world.rank)


def rank_main(rank: int, size: int, folder: Path, behave: Behaviour) -> None:
    os.dup2(os.open(folder / f"{rank}.err", os.O_CREAT | os.O_WRONLY), 2)
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    world = World(rank=rank, size=size, local_rank=rank, device=torch.device("cpu"), rendezvous=meeting)

    def main() -> None:
        with process_group(world), abort_together(world):
            barrier()
            behave(world)

    sys.exit(run_command(main))


def run(folder: Path, size: int, behave: Behaviour) -> tuple[list[int | None], list[str]]:
    """Exit codes and stderr of `size` processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "numpy", "pytest"])  # as in conftest: one server for all
    started = [context.Process(target=rank_main, args=(rank, size, folder, behave)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    return [process.exitcode for process in started], [(folder / f"{rank}.err").read_text() for rank in range(size)]


def test_the_others_end_with_the_failing_ranks_message(tmp_path: Path) -> None:
    codes, said = run(tmp_path, 3, one_fails)
    assert codes == [2, 2, 2]
    assert said[1] == f"error: {SAMPLE}\n"
    assert said[0].splitlines()[-1] == said[2].splitlines()[-1] == f"error: rank 1: {SAMPLE}"


def test_a_bug_on_the_first_rank_is_named_on_the_others(tmp_path: Path) -> None:
    codes, said = run(tmp_path, 2, the_first_has_a_bug)
    assert codes == [1, 2]
    assert "error: rank 0: ZeroDivisionError: of ours" in said[1]


def test_a_mistake_that_every_rank_makes_is_said_by_each_without_waiting(tmp_path: Path) -> None:
    codes, said = run(tmp_path, 2, all_fail)
    assert codes == [2, 2]
    assert all("--data.batch-size: too small" in text for text in said)


def test_a_rank_that_ends_later_than_the_others_ends_well(tmp_path: Path) -> None:
    codes, said = run(tmp_path, 2, the_second_is_late)
    assert codes == [0, 0]
    assert "error" not in "".join(said)


def test_one_rank_keeps_its_exception() -> None:
    world = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
    with pytest.raises(KeyError), abort_together(world):
        raise KeyError("mine")


BEYOND_A_CUT_CABLE = """
import sys, time
from datetime import timedelta
import torch, torch.distributed as dist
from shards.errors import run_command
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.world import World

class Store:
    def __init__(self):
        self.real = dist.TCPStore("127.0.0.1", 0, None, True, timeout=timedelta(seconds=4))
    def check(self, keys):
        return self.real.get("never")  # waits in C++, and comes back while Python ends

class Slow:
    def __del__(self):
        time.sleep(4)

keep = Slow()
def main():
    with abort_together(World(rank=1, size=2, local_rank=0, device=torch.device("cpu")), Store()):
        time.sleep(1)
        raise RuntimeError("Timed out waiting 10000ms for recv operation to complete")
sys.exit(run_command(main))
"""


def test_a_store_that_does_not_answer_neither_holds_the_rank_nor_ends_it_by_an_abort() -> None:
    command = [sys.executable, "-c", BEYOND_A_CUT_CABLE]
    done = subprocess.run(command, cwd=training.ROOT, capture_output=True, text=True, timeout=120, check=False)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "the connection to another rank is lost, found no answer within 10 s" in error
    assert done.returncode == 2
    assert "terminate" not in done.stderr
