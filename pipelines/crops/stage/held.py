"""Memory of others that kernels in the device's queue have yet to read, kept without waiting for them."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

MOST_BATCHES = 4
"""Beyond these the host waits: a host far ahead of its device would hold the pictures of every batch between."""


class Event(Protocol):
    """What is used of torch.cuda.Event."""

    def query(self) -> bool:
        """Whether the device has come to it."""
        ...

    def synchronize(self) -> None:
        """Wait until it has."""
        ...


class Held:
    """Things in the order in which the device is done with them."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._things: deque[tuple[Event, Any]] = deque()

    def __len__(self) -> int:
        """Things held."""
        return len(self._things)

    def until(self, done: Event, thing: Any) -> None:
        """Hold `thing` until the device has come to `done`, and let go of what it has passed."""
        self._things.append((done, thing))
        while len(self._things) > MOST_BATCHES:
            self._things[0][0].synchronize()
            self._things.popleft()
        while self._things and self._things[0][0].query():
            self._things.popleft()
