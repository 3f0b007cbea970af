"""Memory is held as long as the device may read it, no longer, and for few batches."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.crops.stage.held import MOST_BATCHES, Held


@dataclass
class Event:
    is_past: bool = False

    def query(self) -> bool:
        return self.is_past

    def synchronize(self) -> None:
        self.is_past = True


def test_what_the_device_has_passed_is_let_go_in_order() -> None:
    held, events = Held(), [Event() for _ in range(3)]
    for event in events:
        held.until(event, object())
    events[1].is_past = True
    held.until(Event(is_past=True), object())
    assert len(held) == 4  # the first is still read, and what comes after it waits with it
    events[0].is_past = events[2].is_past = True
    held.until(Event(), object())
    assert len(held) == 1


def test_a_host_far_ahead_waits_for_the_oldest() -> None:
    held, events = Held(), [Event() for _ in range(MOST_BATCHES + 3)]
    for event in events:
        held.until(event, object())
    assert [event.is_past for event in events] == [True] * 3 + [False] * MOST_BATCHES
    assert len(held) == MOST_BATCHES
