"""What the bench can time: something that makes batches when asked, and says which processes work for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Contestant(Protocol):
    """An endless source of batches that is being timed."""

    def run(self) -> int:
        """Make the next batch; returns its number of images."""
        ...

    def workers(self) -> Sequence[int]:
        """Process ids of helpers; the time of this process is counted anyway."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A contestant before it is opened.

    Attributes:
        name: as printed.
        threads: threads or worker processes it may use.
        ahead: batches it prepares in advance, run and not counted before every measurement.
        open: starts it.
    """

    name: str
    threads: int
    ahead: int
    open: Callable[[], Contestant]
