"""The one who watches a run: counts every step, times its parts, and hands records and events to the sinks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor

from swav_dali.errors import TrainingError
from swav_dali.ranks.world import World
from swav_dali.watch.gather import gather
from swav_dali.watch.headspace import Headspace
from swav_dali.watch.health import Health
from swav_dali.watch.judge import Judge
from swav_dali.watch.machine import Machine, peak_tflops
from swav_dali.watch.meter import Meter, Window
from swav_dali.watch.record import PARTS, WITHIN_PARTS, Gathered, Local, combine
from swav_dali.watch.sinks.base import Event, SinkGroup
from swav_dali.watch.skipped import SOUND, SkippedSteps
from swav_dali.watch.spans import Spans
from swav_dali.watch.straggler import find_straggler, part_scores
from swav_dali.watch.symptoms import Record, Symptoms
from swav_dali.watch.trace import STEPS, Tracer
from swav_dali.watch.updates import Updates

REQUEST = "measure-headspace"
"""A file of this name in the run folder asks for the headspace to be measured again."""
_NAN = float("nan")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerImage:
    """What an image is worth, to turn images per second into other rates.

    Attributes:
        crops: made of it.
        tar_bytes: it takes in its tar; NaN for images that come from none.
        decode_ms: measures the CPU-milliseconds that decoding it takes; asked once, when data is short.
    """

    crops: int
    tar_bytes: float = _NAN
    decode_ms: Callable[[], float] | None = None


class StepOutcome(Protocol):
    """What a step leaves behind, on the device; see swav_dali.method.step.StepResult."""

    @property
    def loss(self) -> Tensor: ...

    @property
    def embeddings(self) -> Tensor: ...

    @property
    def codes(self) -> Tensor: ...

    @property
    def grad_norm(self) -> Tensor: ...

    @property
    def culprit(self) -> Tensor: ...


class Watch:
    """Every rank has one; only rank 0's has sinks, which are opened once the run knows whether it continues."""

    def __init__(
        self,
        world: World,
        skipped: SkippedSteps,
        folder: Path,
        per_image: PerImage,
        *,
        wants_headspace: bool,
        stops_on_collapse: bool,
        traces: bool = False,
        heads: Sequence[int] = (),
    ) -> None:
        """Watch this rank of `world`, whose run folder may hold requests; `skipped` judges steps without effect.

        `heads` are the prototypes of each, if there are several.
        """
        self._world, self._skipped, self._folder, self._per_image = world, skipped, folder, per_image
        self._meter = Meter()
        self._symptoms, self._stops_on_collapse = Symptoms(), stops_on_collapse
        self.health = Health(heads)
        self._machine = Machine(world.device, ranks_here=world.ranks_per_node)
        self._judge = Judge(self._measure_decoding if world.is_main and per_image.decode_ms is not None else None)
        self._tracer = Tracer(folder / "traces", is_on=traces, device=world.device)
        self._is_first, self._step = True, 0
        self.updates = Updates()
        self.headspace: Headspace | None = None
        self.wants_headspace = wants_headspace
        """Whether the next step is to be preceded by a measurement; the same on all ranks."""
        self.spans = Spans(world.device)
        self.sinks = SinkGroup([])

    def begin_epoch(self) -> None:
        """Begin a new window: what happened between two epochs is not training."""
        self._meter.reset()
        self._machine.restart()

    def waits(self, batches: Iterable[_Item]) -> Iterator[_Item]:
        """`batches`, with the time the host waits for each, and the time the device spends from asking to having it.

        A host that runs ahead of the device need not wait where the device does, and one that waits may do so while
        the device still works on earlier steps.
        """
        iterator = iter(batches)
        while True:
            with self.spans.host("host_wait"), self.spans("data"):
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def keep_headspace(self, headspace: Headspace, step: int) -> None:
        """Compare every later rate with `headspace`."""
        self.headspace, self.wants_headspace = headspace, False
        text = f"headspace: {headspace.images_per_second:.0f} images/s when data costs nothing"
        self.event(Event("headspace", step, text))

    def step(self, done: StepOutcome, *, images: int, replaced: tuple[str, ...], step: int) -> None:
        """Count a step of this rank's `images`; `replaced` are the names of pictures that others stood in for."""
        self._meter.update(done.loss, images, culprit=done.culprit, replaced=len(replaced))
        self.health.update(done.embeddings, done.codes, done.grad_norm, is_sound=done.culprit == SOUND)
        for name in replaced:
            self.event(Event("warning", step, f"cannot be decoded, another stands in: {name}"))
        self.spans.end_step()
        self._trace(step)

    def close_window(self) -> Window:
        """End the time since the last record; its seconds are without pauses, which are in no rate."""
        return self._meter.close()

    def log(self, window: Window, *, step: int, figures: Local) -> None:
        """Combine the window's figures of all ranks into a record, judge it and hand both out; collective.

        Args:
            window: what close_window returned.
            step: steps done.
            figures: of the run and of its last step, declared in swav_dali.watch.record.

        Raises:
            TrainingError: too many steps without effect, or a collapse that is to stop the run; on every rank alike.
        """
        machine = self._machine.figures(images=window.images)
        local = {**figures, **window.figures, **self._rates(window), **self._times(window), **machine}
        local |= self.updates.figures()
        gathered = self._gather(local, window)
        self._skipped.judge(
            total=round(gathered["steps_skipped"][0]),
            losses=gathered["loss"],
            first=list(zip(gathered.pop("first_skipped"), gathered.pop("culprit"), strict=True)),
            step=step,
            steps=window.steps,
        )
        record = combine(gathered)
        self.sinks.record({**record, **self._compared(gathered)})
        self._tell_symptoms(record, step)
        has_traced = self._tracer.has_run()
        if self._is_first or has_traced:  # the first batch waits for the pipeline to start
            self._judge.forget()
        else:
            self._tell_verdict(gathered, window.steps, step)
        self._is_first = False

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

    def _rates(self, window: Window) -> Local:
        rate = float(window.figures["images_per_second"])
        tflops = _NAN if self.headspace is None else rate * self.headspace.flops_per_image / 1e12
        return {
            "images_per_second_per_rank": rate,
            "crops_per_second": rate * self._per_image.crops,
            "mb_per_second": rate * self._per_image.tar_bytes / 1e6,
            "model_tflops": tflops,
            "mfu": tflops / peak_tflops(self._world.device),
        }

    def _times(self, window: Window) -> Local:
        seconds = self.spans.read()
        return {
            **{
                f"{name}_share": min(1.0, seconds.get(span, 0.0) / window.seconds_per_step)
                for name, span in (("data_wait", "data"), ("host_wait", "host_wait"))
            },
            **{name: 1000 * seconds.get(name.removesuffix("_ms"), _NAN) for name in (*PARTS, *WITHIN_PARTS)},
        }

    def _gather(self, local: Local, window: Window) -> dict[str, Sequence[float]]:
        """Every rank's figures, and what is no figure but has to reach all ranks."""
        first = dict(zip(("first_skipped", "culprit"), window.first_skipped, strict=True))
        asked = {"asked": self._world.is_main and (self._folder / REQUEST).exists()}
        gathered = dict(gather({**local, **first, **asked}, self._world))
        self._take_request(gathered.pop("asked")[0] > 0)
        return gathered

    def _take_request(self, is_asked: bool) -> None:
        if is_asked:
            self.wants_headspace = True
            if self._world.is_main:
                (self._folder / REQUEST).unlink(missing_ok=True)

    def _compared(self, gathered: Gathered) -> dict[str, float]:
        """What only all ranks' figures together tell."""
        compared: dict[str, float] = {}
        if self.headspace is not None:
            compared["headspace_images_per_second"] = self.headspace.images_per_second
            compared["headspace_share"] = sum(gathered["images_per_second"]) / self.headspace.images_per_second
        straggler = find_straggler(gathered)
        if straggler is not None:
            compared |= {"straggler_score": straggler.score, "slowest_rank": straggler.rank}
            compared |= {f"{part}_straggler_score": score for part, score in part_scores(gathered).items()}
        return compared

    def _tell_symptoms(self, record: Record, step: int) -> None:
        for symptom in self._symptoms.see(record):
            self.event(Event("health", step, str(symptom)))
            if symptom.is_collapse and self._stops_on_collapse:
                raise TrainingError(
                    f"the model has collapsed: {symptom.text}",
                    where=f"step {step}, --health.on-collapse stop",
                    fix=f"start another run with {symptom.remedy}; an earlier checkpoint may be sound",
                )

    def _tell_verdict(self, gathered: Gathered, steps: int, step: int) -> None:
        self._step = step
        verdict = self._judge.see(gathered, steps, self.headspace)
        if verdict is None:
            return
        self.event(Event("verdict", step, str(verdict)))
        if self._tracer.wants(verdict.bound):
            path = self._tracer.path(verdict.bound, step)
            self.event(Event("trace", step, f"the next {STEPS} steps of rank {verdict.rank} are traced into {path}"))
            if verdict.rank == self._world.rank:
                self._tracer.begin(verdict.bound, step)

    def _trace(self, step: int) -> None:
        if self._tracer.is_running:
            with self.paused():
                failure = self._tracer.step()
            if failure is not None:
                self.event(Event("warning", step, failure))

    def _measure_decoding(self) -> float:
        """NaN, with a warning, where the pictures cannot be read: a figure is not worth a training."""
        assert self._per_image.decode_ms is not None
        try:
            return self._per_image.decode_ms()
        except Exception as error:  # Pillow, index and tars have many
            self.event(Event("warning", self._step, f"the price of decoding cannot be measured: {error}"))
            return _NAN
