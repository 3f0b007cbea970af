"""One line that says what a run's speed is bound by, the figure that says so, and what to try first. Pure.

Every suspect is a share of the time that would be saved without it; the largest one above a tenth is named, and if
there is none the model itself sets the pace. Ranks meet in every step, so a slow one shows as waiting of the others:
it is found by the work that it does alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swav_dali.watch.headspace import Headspace
from swav_dali.watch.record import Gathered

LEAST_SHARE = 0.10
"""A loss below this is not worth a person's time."""
STANDING_SHARE = 0.05
"""A verdict that changed with the noise of every window would be read by nobody."""
CROWDED_SHARE = 0.97
"""A machine this busy has no core left for whoever asks next."""
EXPLAINED_SHARE = 0.8
"""Below this share of the headspace something takes time that no part shows."""
BUSY_SHARE = 0.7
"""Pipeline threads that want a core for more than this part of the time are computing, not waiting."""
OWN_WORK = ("data_ms", "forward_ms", "loss_ms", "optimizer_ms")
"""Parts in which no rank waits for another."""
USUAL_SHARE = {"optimizer_ms": 0.15, "log_ms": 0.03, "codes_ms": 0.25}
"""More of a step than this in a part that should be cheap is a fault of its own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the speed is bound by.

    Attributes:
        bound: the word for it; a change of it is worth telling.
        reason: the figure that says so.
        remedy: what to try first.
    """

    bound: str
    reason: str
    remedy: str

    @property
    def is_cpu_bound_input(self) -> bool:
        """Whether the price of decoding would tell more."""
        return self.bound in ("input-bound by crops", "input-bound by decode")

    def __str__(self) -> str:
        """The line a person reads."""
        return f"{self.bound}: {self.reason}; try {self.remedy}"


@dataclass(frozen=True, slots=True)
class Straggler:
    """The rank whose own work takes longest, compared with the median of the others.

    Attributes:
        rank: which.
        part: the figure in which it loses most.
        score: the others' own work by its own, at most 1; 1 is no straggler.
        lost_ms: how much longer its own work takes, per step.
    """

    rank: int
    part: str
    score: float
    lost_ms: float


def find_straggler(gathered: Gathered) -> Straggler | None:
    """The slowest rank by the work it does alone; None on one rank."""
    parts = {name: gathered[name] for name in OWN_WORK if name in gathered and not any(map(math.isnan, gathered[name]))}
    size = len(gathered["seconds_per_step"])
    if size == 1 or not parts:
        return None
    own = [sum(values[rank] for values in parts.values()) for rank in range(size)]
    rank = max(range(size), key=own.__getitem__)
    beyond = {name: values[rank] - _others(values, rank) for name, values in parts.items()}
    part = max(beyond, key=beyond.__getitem__)
    reference = _others(own, rank)
    score = 1.0 if own[rank] == 0 else min(1.0, reference / own[rank])
    return Straggler(rank, part, score, max(0.0, own[rank] - reference))


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
        (share + STANDING_SHARE * (verdict.bound == standing), verdict)
        for share, verdict in _suspects(gathered, headspace, step_ms, decode_ms)
    ]
    suspects.append((LEAST_SHARE, _model_bound(gathered, headspace, step_ms)))
    return max(suspects, key=lambda suspect: suspect[0])[1]


def _suspects(
    gathered: Gathered, headspace: Headspace | None, step_ms: float, decode_ms: float | None
) -> Iterator[tuple[float, Verdict]]:
    waited = statistics.median_low(gathered["data_wait_share"])
    yield waited, _input_bound(gathered, waited, decode_ms)
    straggler = find_straggler(gathered)
    if straggler is not None:
        share = straggler.lost_ms / step_ms
        yield share, _straggler(straggler, share)
    yield _others_processes(gathered)
    saved = max(gathered.get("checkpoint_ms", [0.0]))
    share = saved / (saved + step_ms)
    yield (
        share,
        Verdict(
            "checkpoint-bound",
            f"checkpoints take {share:.0%} of the time",
            "a larger --checkpoint.every-steps or --checkpoint.every-epochs, or a faster disk for --runs-dir",
        ),
    )
    yield from _communication(gathered, headspace, step_ms, straggler)
    yield from _dear_parts(gathered, step_ms)


def _others_processes(gathered: Gathered) -> tuple[float, Verdict]:
    """On a machine without a free core, every part of a step waits for those of other processes."""
    is_crowded = max(gathered.get("host_cpu_share", [0.0])) >= CROWDED_SHARE
    share = max(gathered.get("other_cpu_share", [0.0])) if is_crowded else 0.0
    return share, Verdict(
        "crowded host",
        f"no core is free, and processes of others hold {share:.0%} of them",
        "ending what else runs there, or a machine of its own",
    )


def _communication(
    gathered: Gathered, headspace: Headspace | None, step_ms: float, straggler: Straggler | None
) -> Iterator[tuple[float, Verdict]]:
    """The all-reduce of the gradients, as measured without data; what the last rank to arrive waits is all its own."""
    if headspace is not None and headspace.reduce_share > 0:
        lost_ms = 0.0 if straggler is None else straggler.lost_ms
        share = headspace.reduce_share * 1000 * headspace.seconds_per_step / step_ms
        if lost_ms / step_ms < share:
            yield (
                share,
                Verdict(
                    "communication-bound",
                    f"averaging gradients takes {share:.0%} of a step",
                    "a larger --data.batch-size, or a faster network between the nodes",
                ),
            )


def _dear_parts(gathered: Gathered, step_ms: float) -> Iterator[tuple[float, Verdict]]:
    is_alone = len(gathered["seconds_per_step"]) == 1
    for name, usual in USUAL_SHARE.items():
        share = min(gathered.get(name, [0.0])) / step_ms
        if share > usual and (name != "codes_ms" or is_alone):  # several ranks wait for each other in the codes
            part = name.removesuffix("_ms")
            yield (
                share,
                Verdict(f"{part}-bound", f"{part} takes {share:.0%} of a step, usually under {usual:.0%}", _DEAR[name]),
            )


_DEAR = {
    "optimizer_ms": "a larger --data.batch-size: the optimizer's work is the same for any batch",
    "log_ms": "a larger --log.every-steps",
    "codes_ms": "a shorter --swav.queue-length or fewer --model.num-prototypes",
}


def _input_bound(gathered: Gathered, waited: float, decode_ms: float | None) -> Verdict:
    reason = f"{waited:.0%} of the time is spent waiting for data"
    busy = _median(gathered, "pipeline_busy_share")
    if busy is None:
        return Verdict("input-bound", reason, "more --data.loader.threads, or faster storage")
    if busy < BUSY_SHARE:
        said = f"{reason}, while the pipeline's threads work {busy:.0%} of it"
        remedy = "faster storage: `python -m shards stage` copies the shards to a local disk"
        return Verdict("input-bound by storage", said, remedy)
    cpu_ms = _median(gathered, "pipeline_cpu_ms") or 0.0
    said = f"{reason}, and the pipeline's threads are {busy:.0%} busy with {cpu_ms:.1f} CPU-ms an image"
    if decode_ms is not None and decode_ms >= cpu_ms / 2:
        remedy = "more --data.loader.threads, or smaller pictures: `python -m shards build --short-side 512`"
        return Verdict("input-bound by decode", f"{said}, {decode_ms:.1f} of them decoding", remedy)
    return Verdict("input-bound by crops", said, "more --data.loader.threads, fewer crops, or --data.crops-by gpu")


def _straggler(straggler: Straggler, share: float) -> Verdict:
    part = straggler.part.removesuffix("_ms")
    remedy = (
        "its storage and the CPU cores it has: a rank that waits for data is slow by its machine's input"
        if part == "data"
        else "its GPU's clocks, temperature and neighbours; if the rank changes from time to time, its input"
    )
    return Verdict(
        f"straggler rank {straggler.rank}",
        f"its {part} holds the others up for {share:.0%} of a step (score {straggler.score:.2f})",
        remedy,
    )


def _model_bound(gathered: Gathered, headspace: Headspace | None, step_ms: float) -> Verdict:
    parts = {
        name: statistics.median(gathered[name]) / step_ms
        for name in ("forward_ms", "backward_ms", "codes_ms", "loss_ms", "optimizer_ms")
        if name in gathered
    }
    largest = max(parts, key=parts.__getitem__, default=None)
    where = "" if largest is None else f"; {largest.removesuffix('_ms')} takes {parts[largest]:.0%} of a step"
    if headspace is None:
        reason = f"data wait {statistics.median(gathered['data_wait_share']):.0%}"
        return Verdict("model-bound", reason + where, _MORE)
    share = sum(gathered["images_per_second"]) / headspace.images_per_second
    reason = f"{share:.0%} of what it does without data"
    if share < EXPLAINED_SHARE:
        remedy = "measuring the headspace again; a shared machine, a hot GPU, or pictures of other sizes may be why"
        return Verdict("slower than it could be", reason + ", and no part says why" + where, remedy)
    return Verdict("model-bound", reason + where, _MORE)


_MORE = "a larger batch if memory allows, or more devices"


def _others(values: Sequence[float], rank: int) -> float:
    return statistics.median([value for other, value in enumerate(values) if other != rank])


def _median(gathered: Mapping[str, Sequence[float]], name: str) -> float | None:
    return statistics.median(gathered[name]) if name in gathered else None
