"""When a verdict is told: not for every window that a busy moment of the machine has spoilt.

Short windows are put together until they are long enough to mean something. What costs much is told at once; what
costs little, or that a fault is over, when two windows in a row say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swav_dali.watch.headspace import Headspace
from swav_dali.watch.record import Gathered
from swav_dali.watch.verdict import Verdict, judge

LEAST_SECONDS = 1.0
"""Of training that a verdict rests on."""
SURE_SHARE = 0.25
"""A loss of this much of the time is told at once."""


class Judge:
    """Remembers what stands; every rank has one, and all come to the same answer but for the price of decoding."""

    def __init__(self, decode_ms: Callable[[], float] | None = None) -> None:
        """Ask `decode_ms` for the CPU-milliseconds of decoding an image, once, when data is short."""
        self._measure_decoding = decode_ms
        self._decode_ms: float | None = None
        self._standing, self._candidate = "", ""
        self._short: list[tuple[int, Gathered]] = []

    def see(self, gathered: Gathered, steps: int, headspace: Headspace | None) -> Verdict | None:
        """Take every rank's figures of a window of `steps`; a verdict that is to be told now, or None."""
        self._short.append((steps, gathered))
        if sum(count * max(window["seconds_per_step"]) for count, window in self._short) < LEAST_SECONDS:
            return None
        whole = together(self._short)
        self._short.clear()
        verdict = judge(whole, headspace, self._decode_ms, standing=self._standing)
        if verdict.is_cpu_bound_input and self._decode_ms is None and self._measure_decoding is not None:
            self._decode_ms = self._measure_decoding()
            verdict = judge(whole, headspace, self._decode_ms, standing=self._standing)
        return self._told(verdict)

    def forget(self) -> None:
        """Leave out the windows that are not judged yet: something else was done in them."""
        self._short.clear()

    def _told(self, verdict: Verdict) -> Verdict | None:
        if verdict.bound == self._standing:
            self._candidate = ""
            return None
        is_first_model = not self._standing and verdict.bound == "model-bound"
        if not (verdict.share >= SURE_SHARE or verdict.bound == self._candidate or is_first_model):
            self._candidate = verdict.bound
            return None
        self._standing, self._candidate = verdict.bound, ""
        return verdict


def together(windows: Sequence[tuple[int, Gathered]]) -> Gathered:
    """Windows, each with its number of steps, as one: the mean over their steps of every figure and rank."""
    if len(windows) == 1:
        return windows[0][1]
    names = [name for name in windows[0][1] if all(name in window for _, window in windows)]
    total = sum(count for count, _ in windows)
    return {
        name: [
            sum(count * window[name][rank] for count, window in windows) / total
            for rank in range(len(windows[0][1][name]))
        ]
        for name in names
    }
