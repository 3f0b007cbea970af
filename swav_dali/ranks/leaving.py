"""A request to leave, SIGTERM or SIGUSR1, becomes one step after which all ranks save and stop.

The signal reaches one rank or several, at different moments, and a rank inside a collective runs no Python. So a
thread hears of it, through the signal's wake-up descriptor, and spreads it through the ranks' store. Each rank's thread
names the next boundary that its loop will come to, and all leave at the first one not below the highest of these: a
rank that waits at an earlier boundary for those numbers needs the threads of the others only, never a collective.
Boundaries are counted in halves of steps: 2n follows step n, 2n + 1 lies in the probe that may follow it, before its
ranks meet.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch.distributed as dist
from torch._C._distributed_c10d import Store

from swav_dali.errors import Stopped
from swav_dali.ranks.world import World

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
POLL_SECONDS = 0.25
PATIENCE_SECONDS = 5.0
_ASKED, _NEXT = "leaving/asked", "leaving/next"


class Leaving:
    """What one rank knows of a request to leave; made by `leave_together`."""

    def __init__(self, rank: int = 0, size: int = 1, store: Store | None = None) -> None:
        """Nothing is asked yet, and the loop has not begun; several ranks need the store they share."""
        self._rank, self._size, self._store = rank, size, store
        self._lock = threading.Lock()
        self._is_agreed, self._is_over = threading.Event(), threading.Event()
        self._next: int | None = None
        self._last = 0
        self._is_answering = False
        self.asked_by = ""
        """Name of the signal, once there is one."""

    @contextmanager
    def loop(self, step: int) -> Iterator[None]:
        """The training loop, after `step` steps; outside of it a request is answered by leaving at once."""
        with self._lock:
            self._next = 2 * step + 1
        try:
            yield
        finally:
            with self._lock:
                self._next = None

    def is_due(self, step: int) -> bool:
        """Whether this is the boundary to save and leave at; to be asked once after every step."""
        return self._is_reached(2 * step)

    def is_due_in_probe(self, step: int) -> bool:
        """Whether to save and leave without the rest of the probe after `step` steps.

        To be asked once before its ranks meet, and before that as often as there is a request.
        """
        return self._is_reached(2 * step + 1)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """The signal's handler in the main thread: outside of the loop it raises Stopped.

        Not while an earlier request is being answered: what closes then would be cut short.
        """
        if self._next is None and not self._is_answering:
            raise Stopped(f"{signal.Signals(number).name} outside of the training steps: nothing new to save")

    def listen(self, descriptor: int) -> None:
        """The thread: hear of signals on the wake-up `descriptor` and of those of other ranks from the store."""
        while not self._is_over.is_set():
            ready, _, _ = select.select([descriptor], [], [], None if self._store is None else POLL_SECONDS)
            numbers = [number for number in os.read(descriptor, 64) if number in SIGNALS] if ready else []
            name = signal.Signals(numbers[0]).name if numbers else self._told()
            if name and not self._is_over.is_set():
                self._hear(name)
                return

    def close(self) -> None:
        """Stop listening, once the descriptor is woken."""
        self._is_over.set()

    def _is_reached(self, boundary: int) -> bool:
        with self._lock:
            if not self.asked_by:
                self._next = boundary + 1
                return False
        self._is_agreed.wait()  # for the threads of the others; ours ends the process if they do not answer
        return boundary >= self._last

    def _told(self) -> str:
        if self._store is None:
            return ""
        try:
            return self._store.get(_ASKED).decode() if self._store.check([_ASKED]) else ""
        except RuntimeError:  # the store went with a rank that is done or dead; there is no one to agree with
            self._is_over.set()
            return ""

    def _hear(self, name: str) -> None:
        with self._lock:
            self.asked_by, following = name, self._next
        if following is None:
            self._end(f"{name}: leaving", after=PATIENCE_SECONDS)
            return
        if self._rank == 0:
            print(f"{name}: a checkpoint is written after this step, then the run leaves", file=sys.stderr, flush=True)
        try:
            self._last = following if self._store is None else self._agree(self._store, following)
        except (RuntimeError, TimeoutError):
            self._end(f"{name}: the other ranks do not answer, so no checkpoint is written", after=0)
        self._is_answering = True
        self._is_agreed.set()

    def _agree(self, store: Store, following: int) -> int:
        """The highest boundary that any rank named."""
        store.set(_ASKED, self.asked_by)
        store.set(f"{_NEXT}/{self._rank}", str(following))
        keys = [f"{_NEXT}/{rank}" for rank in range(self._size)]
        until = time.monotonic() + PATIENCE_SECONDS
        while not store.check(keys):
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(POLL_SECONDS / 5)
        return max(int(store.get(key)) for key in keys)

    def _end(self, message: str, *, after: float) -> None:
        """End the process unless the main thread does it first; it cannot while it waits inside a library."""
        if not self._is_over.wait(after):
            print(message, file=sys.stderr, flush=True)
            os._exit(Stopped.EXIT_CODE)


@contextmanager
def leave_together(world: World) -> Iterator[Leaving]:
    """Within the block SIGTERM and SIGUSR1 on any rank are answered by all; for the main thread, inside a group.

    Raises:
        Stopped: from the block, when the signal comes outside of `Leaving.loop`.
    """
    store = dist.distributed_c10d._get_default_store() if world.size > 1 else None
    leaving = Leaving(world.rank, world.size, store)
    hearing, waking = os.pipe()
    os.set_blocking(waking, False)
    listener = threading.Thread(target=leaving.listen, args=(hearing,), name="leaving-listener", daemon=True)
    handlers = {number: signal.signal(number, leaving.on_signal) for number in SIGNALS}
    before = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    listener.start()
    try:
        yield leaving
    finally:
        leaving.close()
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():  # a second request must not cut the answer to the first one short
            signal.signal(number, signal.SIG_IGN if leaving.asked_by else handler)
        os.write(waking, b"\0")
        listener.join(PATIENCE_SECONDS)
        if not listener.is_alive():  # else it waits for a store beyond a cut cable, and may yet read
            os.close(hearing)
            os.close(waking)
