"""One line that says what a run's speed is bound by, the figure that says so, and what to try first. Pure.

Every suspect is a share of the time that would be saved without it; the largest one above a tenth is named, and if
there is none the model itself sets the pace. swav_dali.watch.judge decides when it is told.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swav_dali.watch.headspace import Headspace
from swav_dali.watch.record import Gathered
from swav_dali.watch.straggler import Straggler, find_straggler

LEAST_SHARE = 0.10
"""A loss below this is not worth a person's time."""
LEAST_MS = 2.0
"""Nor is one of so few milliseconds a step: in steps that short a clock reads mostly noise."""
STANDING_SHARE = 0.05
"""A verdict that changed with the noise of every window would be read by nobody."""
LONGER = 1.2
"""Two times that differ by less may be the same."""
EXPLAINED_SHARE = 0.8
"""Below this share of the headspace something takes time that no part shows."""
BUSY_SHARE = 0.7
"""Pipeline threads that want a core for more than this part of the time are computing, not waiting."""
BUSY_GPU_SHARE = 0.9
"""A GPU that has work for this part of the time while the model waits for data is making that data."""
USUAL_SHARE = {"optimizer_ms": 0.15, "log_ms": 0.03, "codes_ms": 0.25, "collectives_ms": 0.15}
"""More of a step than this in a part that should be cheap is a fault of its own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the speed is bound by.

    Attributes:
        bound: the word for it; a change of it is worth telling.
        reason: the figure that says so.
        remedy: what to try first.
        share: of the time that it costs, as far as that is known.
    """

    bound: str
    reason: str
    remedy: str
    share: float = LEAST_SHARE

    @property
    def is_cpu_bound_input(self) -> bool:
        """Whether the price of decoding would tell more."""
        return self.bound in ("input-bound by crops", "input-bound by decode")

    @property
    def rank(self) -> int:
        """The rank it is about; 0 where it is about none."""
        word, _, number = self.bound.rpartition(" rank ")
        return int(number) if word == "straggler" else 0

    def __str__(self) -> str:
        """The line a person reads."""
        return f"{self.bound}: {self.reason}; try {self.remedy}"


def judge(
    gathered: Gathered, headspace: Headspace | None, decode_ms: float | None = None, *, standing: str = ""
) -> Verdict:
    """What bounds the speed of the window that `gathered` tells of.

    Args:
        gathered: every rank's figures of swav_dali.watch.record.
        headspace: what the model does without a data path, if it was measured.
        decode_ms: CPU-milliseconds to decode one image of this data set, if they were measured.
        standing: what was found before; it stands until something else is worse by STANDING_SHARE.
    """
    gathered = {name: values for name, values in gathered.items() if not any(map(math.isnan, values))}
    step_ms = 1000 * max(gathered["seconds_per_step"])
    suspects = [
        (verdict.share + STANDING_SHARE * (verdict.bound == standing), verdict)
        for verdict in _suspects(gathered, step_ms, decode_ms)
        if verdict.share * step_ms >= LEAST_MS
    ]
    suspects.append((LEAST_SHARE, _model_bound(gathered, headspace, step_ms)))
    return max(suspects, key=lambda suspect: suspect[0])[1]


def _suspects(gathered: Gathered, step_ms: float, decode_ms: float | None) -> Iterator[Verdict]:
    yield _input_bound(gathered, decode_ms)
    yield _crowded(gathered)
    straggler = find_straggler(gathered)
    if straggler is not None:
        yield _straggler(straggler, straggler.lost_ms / step_ms)
    saved = max(gathered.get("checkpoint_ms", [0.0]))
    share = saved / (saved + step_ms)
    yield Verdict(
        "checkpoint-bound",
        f"checkpoints take {share:.0%} of the time",
        "a larger --checkpoint.every-steps or --checkpoint.every-epochs, or a faster disk for --runs-dir",
        share,
    )
    yield from _dear_parts(gathered, step_ms)


def _crowded(gathered: Gathered) -> Verdict:
    """Cores that processes of others held while the loop, or the pipeline that it waited for, wanted them."""
    lost = _median(gathered, "loop_crowded_share") + _crowded_data(gathered)
    held = max(gathered.get("other_cpu_share", [0.0]))
    return Verdict(
        "crowded host",
        f"{lost:.0%} of the time is spent waiting for cores, {held:.0%} of which processes of others hold",
        "ending what else runs there, or a machine of its own",
        lost,
    )


def _dear_parts(gathered: Gathered, step_ms: float) -> Iterator[Verdict]:
    """Parts that should be cheap; what the rank that waits least waits in collectives is the network's."""
    met = gathered.get("collectives_ms", [0.0] * len(gathered["seconds_per_step"]))
    shares = {name: min(gathered.get(name, [0.0])) / step_ms for name in USUAL_SHARE}
    if "codes_ms" in gathered:
        own = [max(0.0, codes - waited) for codes, waited in zip(gathered["codes_ms"], met, strict=True)]
        shares["codes_ms"] = min(own) / step_ms
    for name, usual in USUAL_SHARE.items():
        if shares[name] > usual:
            bound, what, remedy = _DEAR[name]
            yield Verdict(
                bound, f"{what} {shares[name]:.0%} of a step, usually under {usual:.0%}", remedy, shares[name]
            )


_DEAR = {
    "optimizer_ms": (
        "optimizer-bound",
        "the optimizer takes",
        "a larger --data.batch-size: the optimizer's work is the same for any batch",
    ),
    "log_ms": ("log-bound", "records take", "a larger --log.every-steps"),
    "codes_ms": (
        "codes-bound",
        "the codes take",
        "a shorter --swav.queue-length or fewer --model.num-prototypes",
    ),
    "collectives_ms": (
        "communication-bound",
        "every rank waits for the network, for",
        "a larger --data.batch-size, or a faster network between the nodes",
    ),
}


def _input_bound(gathered: Gathered, decode_ms: float | None) -> Verdict:
    waited = _waited(gathered)
    share = waited - _crowded_data(gathered)
    reason = f"{waited:.0%} of the time is spent waiting for data"
    if "pipeline_busy_share" not in gathered:
        return Verdict("input-bound", reason, "more --data.loader.threads, or faster storage", share)
    busy = _median(gathered, "pipeline_busy_share")
    if busy < BUSY_SHARE:
        return _idle_pipeline(gathered, f"{reason}, while the pipeline's threads work {busy:.0%} of it", share)
    cpu_ms = _median(gathered, "pipeline_cpu_ms")
    said = f"{reason}, and the pipeline's threads are {busy:.0%} busy with {cpu_ms:.1f} CPU-ms an image"
    if decode_ms is not None and decode_ms >= cpu_ms / 2:
        remedy = "more --data.loader.threads, or smaller pictures: `python -m shards build --short-side 512`"
        return Verdict("input-bound by decode", f"{said}, {decode_ms:.1f} of them decoding", remedy, share)
    remedy = "more --data.loader.threads, fewer crops, or --data.crops-by gpu"
    return Verdict("input-bound by crops", said, remedy, share)


def _idle_pipeline(gathered: Gathered, reason: str, share: float) -> Verdict:
    used = _median(gathered, "gpu_utilization")
    if used >= BUSY_GPU_SHARE:
        said = f"{reason} and the GPU has work for {used:.0%} of it"
        remedy = "--data.loader.decode-on cpu or --data.crops-by cpu, if there are cores to spare"
        return Verdict("input-bound by decode and crops on the GPU", said, remedy, share)
    remedy = "faster storage: `python -m shards stage` copies the shards to a local disk"
    return Verdict("input-bound by storage", reason, remedy, share)


def _straggler(straggler: Straggler, share: float) -> Verdict:
    remedy = (
        "its storage and the CPU cores it has: a rank that waits for data is slow by its machine's input"
        if straggler.part == "data"
        else "its GPU's clocks, temperature and neighbours; if the rank changes from time to time, its input"
    )
    return Verdict(
        f"straggler rank {straggler.rank}",
        f"its {straggler.part} holds the others up for {share:.0%} of a step (score {straggler.score:.2f})",
        remedy,
        share,
    )


def _model_bound(gathered: Gathered, headspace: Headspace | None, step_ms: float) -> Verdict:
    parts = {
        name.removesuffix("_ms"): statistics.median(gathered[name])
        for name in ("forward_ms", "backward_ms", "codes_ms", "loss_ms", "optimizer_ms")
        if name in gathered
    }
    largest = max(parts, key=parts.__getitem__, default=None)
    where = "" if largest is None else f"; {largest} takes {parts[largest] / step_ms:.0%} of a step"
    if headspace is None:
        reason = f"data wait {statistics.median(gathered['data_wait_share']):.0%}"
        return Verdict("model-bound", reason + where, _MORE)
    share = sum(gathered["images_per_second"]) / headspace.images_per_second
    reason = f"{share:.0%} of what it does without data"
    if share < EXPLAINED_SHARE:
        remedy = "measuring the headspace again; a shared machine, a hot GPU, or pictures of other sizes may be why"
        said = f"{reason}, and no other cause shows{_grown(parts, headspace) or where}"
        return Verdict("slower than it could be", said, remedy)
    return Verdict("model-bound", reason + where, _MORE)


def _grown(parts: dict[str, float], headspace: Headspace) -> str:
    """The part that takes longest beyond what it took in the measurement of the headspace."""
    beyond = {name: ms - 1000 * headspace.parts[name] for name, ms in parts.items() if headspace.parts.get(name)}
    worst = max(beyond, key=beyond.__getitem__, default=None)
    if worst is None or beyond[worst] <= 0:
        return ""
    return f"; {worst} takes {parts[worst] / (1000 * headspace.parts[worst]):.1f} times as long as then"


_MORE = "a larger batch if memory allows, or more devices"


def _waited(gathered: Gathered) -> float:
    return statistics.median_low(gathered["data_wait_share"])


def _crowded_data(gathered: Gathered) -> float:
    """The part of the wait for data in which the pipeline itself waited for cores that others held.

    None, where the pipeline computes for longer than the loop: a crowd slows both, and with cores of its own the run
    would still wait for data.
    """
    crowded = _median(gathered, "pipeline_crowded_share")
    pipeline = _median(gathered, "pipeline_busy_share") - crowded
    loop = 1 - _waited(gathered) - _median(gathered, "loop_crowded_share")
    return 0.0 if pipeline > LONGER * max(0.0, loop) else min(_waited(gathered), crowded)


def _median(gathered: Gathered, name: str) -> float:
    values: Sequence[float] = gathered.get(name, [0.0])
    return statistics.median(values)
