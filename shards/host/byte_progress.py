"""Progress of work that is counted in bytes: a line rewritten on a terminal, one every few seconds elsewhere."""

from __future__ import annotations

import sys
import time

from shards.host.progress import PLAIN_SECONDS, clock

GB = 1e9
TERMINAL_SECONDS = 0.25


class ByteProgress:
    """Counts bytes of one task towards a total and says how far it is on standard error."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._is_terminal = sys.stderr.isatty()
        self._started = self._said = time.monotonic()

    def add(self, num_bytes: int) -> None:
        """So many more bytes are done."""
        self._done += num_bytes
        is_last, now = self._done >= self._total, time.monotonic()
        if is_last or now - self._said >= (TERMINAL_SECONDS if self._is_terminal else PLAIN_SECONDS):
            self._said = now
            start, end = ("\r", "\n" if is_last else "") if self._is_terminal else ("", "\n")
            print(f"{start}{self._line(now - self._started)}", end=end, file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        rate = self._done / max(seconds, 1e-3)
        left = clock((self._total - self._done) / rate) if rate else "-"
        return f"{self._title}: {self._done / GB:,.2f}/{self._total / GB:,.2f} GB  {rate / 1e6:,.0f} MB/s  {left} left"
