"""What times the parts of a step, as seen by the parts: a function that makes a context of a name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Timer = Callable[[str], AbstractContextManager[None]]
"""Times the work that is queued in its block under a name."""
COLLECTIVES = "collectives"
"""Name of the time in which a rank waits for others or for the network, within the parts that have such."""


def untimed(name: str) -> AbstractContextManager[None]:
    """The Timer that does nothing."""
    return nullcontext()
