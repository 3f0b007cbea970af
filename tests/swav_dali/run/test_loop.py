"""What the loop does before its first step, and how it leaves from there."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from swav_dali.errors import Stopped
from swav_dali.ranks.leaving import SIGNALS, leave_together
from swav_dali.ranks.world import World
from swav_dali.run.loop import fit
from swav_dali.run.parts import Clock

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


class AskedToLeave:
    """A probe whose floors take long, as they do on many pictures: the signal comes meanwhile."""

    def __init__(self) -> None:
        self.floors: dict[str, float] = {}

    def measure_floors(self, _untrained: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it went on measuring")


def test_a_request_while_the_floors_are_measured_is_answered_at_once() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with leave_together(ALONE) as leaving:
            run = SimpleNamespace(
                services=SimpleNamespace(probe=AskedToLeave()),
                parts=SimpleNamespace(model=SimpleNamespace(features=None)),
                clock=Clock(),
                leaving=leaving,
            )
            with pytest.raises(Stopped, match="SIGTERM outside of the training steps"):
                fit(cast(Any, run))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
