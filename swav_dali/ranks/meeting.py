"""Where the ranks of one attempt meet: a key-value store in which nothing of a dead attempt can be read.

torchrun keeps its store over `--max-restarts` and torch uses it without a prefix, so that the ranks of the second
attempt find the addresses of the first: they are refused, or wait for ever. TORCHELASTIC_RESTART_COUNT is no prefix for
several machines, because each torchrun counts the failures of its own ranks. So the ranks agree on a number: every
process says hello with a word of its own, and rank 0 answers each word with the number of this attempt.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from swav_dali.errors import TrainingError

POLL_SECONDS = 0.02


def meet(address: str, *, rank: int, size: int, timeout: timedelta) -> Store:
    """The store of this attempt's ranks; collective.

    Args:
        address: torch's `init_method`.
        rank: this process.
        size: number of processes.
        timeout: how long to wait for the others, and for every key asked of the store later.

    Raises:
        TrainingError: not all ranks came in time.
    """
    try:
        store, _, _ = next(rendezvous(address, rank, size, timeout=timeout))
    except dist.DistError as error:
        raise TrainingError(
            "the ranks cannot meet",
            where=os.environ.get("MASTER_ADDR", "") if address == "env://" else address,
            found=str(error).splitlines()[0],
            fix="is that machine up, its name known here, and the port free and open?",
        ) from error
    store.set_timeout(timeout)
    deadline = time.monotonic() + timeout.total_seconds()
    word = secrets.token_hex(8)
    store.set(f"hello/{rank}", word)
    if rank == 0:
        attempt = _welcome(store, size, deadline)
    else:
        _wait(lambda: store.check([f"welcome/{word}"]), deadline, "rank 0 did not come")
        attempt = store.get(f"welcome/{word}").decode()
        store.set(f"ready/{attempt}/{rank}", word)
    return PrefixStore(f"attempt-{attempt}", store)


def _welcome(store: Store, size: int, deadline: float) -> str:
    """Answer every hello, also those of the dead, which no one hears, until all ranks of this attempt are ready."""
    attempt = str(store.add("attempts", 1))
    answered: dict[int, str] = {}

    def all_are_ready() -> bool:
        missing = [rank for rank in range(1, size) if not store.check([f"ready/{attempt}/{rank}"])]
        for rank in missing:
            if store.check([f"hello/{rank}"]) and (word := store.get(f"hello/{rank}").decode()) != answered.get(rank):
                store.set(f"welcome/{word}", attempt)
                answered[rank] = word
        return not missing

    _wait(all_are_ready, deadline, "not all ranks came")
    return attempt


def _wait(is_done: Callable[[], bool], deadline: float, complaint: str) -> None:
    while not is_done():
        if time.monotonic() > deadline:
            raise TrainingError(
                complaint, where="start of the ranks", fix="look for the error of the missing ranks above"
            )
        time.sleep(POLL_SECONDS)
