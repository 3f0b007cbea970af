"""Handing the same tasks to a running Dask cluster: every worker must see the source and the output folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shards.building.workers import Crew
from shards.errors import UserError, missing_package

CONNECT_SECONDS = 20


@contextmanager
def dask_crew(address: str) -> Iterator[Crew]:
    """The workers of the scheduler at `address`.

    Raises:
        UserError: Dask is not installed, nothing answers at the address, or the scheduler has no workers.
    """
    try:
        distributed: Any = importlib.import_module("distributed")  # untyped
    except ImportError:
        raise missing_package("distributed", "--dask", extra="dask") from None
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        fix = "start one: dask scheduler, then dask worker ADDRESS"
        raise UserError("no Dask scheduler answers", where=f"--dask {address}", found=error, fix=fix) from None
    with client:
        num_threads = sum(client.nthreads().values())
        if not num_threads:
            raise UserError("the Dask scheduler has no workers", where=f"--dask {address}", fix="dask worker ADDRESS")
        executor = client.get_executor(pure=False)
        yield Crew(executor=executor, num_in_flight=2 * num_threads, death_errors=(distributed.KilledWorker,))
