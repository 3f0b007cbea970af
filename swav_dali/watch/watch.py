"""The one who watches a run: counts every step, times its parts, and hands records and events to the sinks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch import Tensor

from swav_dali.ranks.world import World
from swav_dali.watch.gather import gather
from swav_dali.watch.machine import machine_figures
from swav_dali.watch.meter import Meter, Window
from swav_dali.watch.record import Local, combine
from swav_dali.watch.sinks.base import Event, SinkGroup
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.spans import Spans

_Item = TypeVar("_Item")


class Watch:
    """Every rank has one; only rank 0's has sinks, which are opened once the run knows whether it continues."""

    def __init__(self, world: World, skipped: SkippedSteps) -> None:
        """Watch this rank of `world`; `skipped` judges the steps without effect."""
        self._world = world
        self._skipped = skipped
        self._meter = Meter()
        self.spans = Spans(world.device)
        self.sinks = SinkGroup([])

    def begin_epoch(self) -> None:
        """Begin a new window: what happened between two epochs is not training."""
        self._meter.reset()
        self.spans.reset()

    def waits(self, batches: Iterable[_Item]) -> Iterator[_Item]:
        """`batches`, with the time the host waits for each."""
        iterator = iter(batches)
        while True:
            with self.spans.host("data"):
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def step(self, loss: Tensor, *, images: int, replaced: tuple[str, ...], culprit: Tensor, step: int) -> None:
        """Count a step; see Meter.update. `replaced` are the names of pictures that others stood in for."""
        self._meter.update(loss, images, culprit=culprit, replaced=len(replaced))
        for name in replaced:
            self.event(Event("warning", step, f"cannot be decoded, another stands in: {name}"))
        self.spans.end_step()

    def close_window(self) -> Window:
        """End the time since the last record; its seconds are without pauses, which are in no rate."""
        return self._meter.close()

    def log(self, window: Window, *, step: int, figures: Local) -> None:
        """Combine the window's figures of all ranks into a record and hand it out; collective.

        Args:
            window: what close_window returned.
            step: steps done.
            figures: of the run and of its last step, declared in swav_dali.watch.record.

        Raises:
            TrainingError: too many steps without effect, on every rank alike.
        """
        machine = machine_figures(self._world.device)
        first = dict(zip(("first_skipped", "culprit"), window.first_skipped, strict=True))
        gathered = gather({**figures, **window.figures, **self._times(window), **machine, **first}, self._world)
        self._skipped.judge(
            total=round(gathered["steps_skipped"][0]),
            losses=gathered["loss"],
            first=list(zip(gathered["first_skipped"], gathered["culprit"], strict=True)),
            step=step,
            steps=window.steps,
        )
        self.sinks.record(combine({name: values for name, values in gathered.items() if name not in first}))

    def record(self, figures: Local) -> None:
        """Hand out figures that are equal on all ranks already, such as a probe's."""
        self.sinks.record(combine({name: [float(value)] for name, value in figures.items()}))

    def event(self, event: Event) -> None:
        """Hand out an event."""
        self.sinks.event(event)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Keep what happens inside out of the rates."""
        with self._meter.paused():
            yield

    def _times(self, window: Window) -> Local:
        seconds = self.spans.read()
        return {
            "data_wait_share": min(1.0, seconds.get("data", 0.0) / window.seconds_per_step),
            **{f"{name}_ms": 1000 * value for name, value in seconds.items()},
        }
