"""Shared by the tests of the training core: several real ranks on one machine."""

from __future__ import annotations

import itertools
import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
import training

from swav_dali.ranks.group import process_group
from swav_dali.ranks.world import World

CPU = torch.device("cpu")


def _rank_main(function: Callable[..., Any], world: World, args: tuple[Any, ...], results: Connection) -> None:
    torch.set_num_threads(1)
    try:
        with process_group(world, timeout_seconds=120):
            results.send((True, function(world, *args)))
    except Exception:
        results.send((False, traceback.format_exc()))


def _collect(pipes: list[Connection], timeout: float) -> list[Any]:
    """Results in rank order, once every rank has answered; fails with what each failing rank said."""
    answers = []
    for rank, pipe in enumerate(pipes):
        assert pipe.poll(timeout), f"rank {rank} said nothing for {timeout} s"
        answers.append(pipe.recv())
    failures = [f"rank {rank}:\n{text}" for rank, (is_good, text) in enumerate(answers) if not is_good]
    assert not failures, "\n".join(failures)
    return [result for _, result in answers]


@pytest.fixture
def run_ranks(tmp_path: Path) -> Callable[..., list[Any]]:
    """run_ranks(function, size, *args): function(world, *args) in `size` gloo processes; their results by rank.

    `function` is a module-level function whose result pickles without torch (arrays, numbers).
    """
    context = multiprocessing.get_context("forkserver")  # imports once for all ranks of all tests
    context.set_forkserver_preload(["torch", "torch._dynamo", "numpy", "pytest"])  # an optimizer imports _dynamo
    calls = itertools.count()

    def run(function: Callable[..., Any], size: int, *args: Any, timeout: float = 180.0) -> list[Any]:
        meeting = tmp_path / f"meeting-{next(calls)}"  # a file instead of a port: nothing to collide with
        processes, pipes = [], []
        for rank in range(size):
            world = World(rank=rank, size=size, local_rank=rank, device=CPU, rendezvous=meeting.as_uri())
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_rank_main, args=(function, world, args, sender), daemon=True)
            process.start()
            sender.close()
            processes.append(process)
            pipes.append(receiver)
        try:
            return _collect(pipes, timeout)
        finally:
            for process in processes:
                process.join(5)
                if process.is_alive():
                    process.terminate()

    return run


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 40 training and 20 validation pictures of two classes, under train/ and validation/."""
    root = tmp_path_factory.mktemp("tiny")
    for name, num_images, seed in (("train", 40, 0), ("validation", 20, 1)):
        source = training.draw_folder(root / "pictures" / name, num_images=num_images, seed=seed)
        training.build_shards(source, root / name)
    return root
