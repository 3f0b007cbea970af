"""Symptoms of a training that goes wrong, recognised in the last records as they were described by those who had them.

Pure: every rank sees the same records and comes to the same answer. The cases are issues of the reference (swav #12,
#56, #69, #88, #118) and the papers on partial prototype collapse (arXiv 2410.14060, 2510.20108).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

Record = Mapping[str, float]
WINDOW = 12
"""Records that are remembered."""
STUCK_RECORDS, STUCK_EPOCHS, STUCK_STEPS = 8, 2, 200
"""So many records, over so many epochs and steps, without progress at ln K are no coincidence: a model that learns may
stay there for a hundred steps at its beginning."""
STUCK_SHARE = 0.998
"""Of ln K, the mean loss of those records. Seven frozen trunks stayed above 0.9985 for 250 steps, whatever their heads
learnt; nine models that learnt were below 0.997 after 150, a tenth, which began at a high rate, after 300."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that is wrong with the model.

    Attributes:
        name: what it is called.
        text: the figures that say so.
        remedy: what to try first.
        is_collapse: whether going on is a waste, see --health.on-collapse.
    """

    name: str
    text: str
    remedy: str
    is_collapse: bool = False

    def __str__(self) -> str:
        """The line a person reads."""
        return f"{self.name}: {self.text}; try {self.remedy}"


class Symptoms:
    """Watches the records of a run."""

    def __init__(self) -> None:
        """Healthy until shown otherwise."""
        self._records: deque[Record] = deque(maxlen=WINDOW)
        self._present: set[str] = set()
        self._stuck: list[Record] = []
        """The first record at or above ln K since the loss last fell, and those after it."""

    def see(self, record: Record) -> list[Symptom]:
        """Take one record and return the symptoms that were not there in the last; a step back in time forgets."""
        if "loss" not in record:
            return []
        if self._records and record["step"] <= self._records[-1]["step"]:
            self._records.clear()
            self._stuck.clear()
        self._records.append(record)
        checks = (*_CHECKS, self._check_stuck)
        found = [symptom for check in checks if (symptom := check(self._records)) is not None]
        new = [symptom for symptom in found if symptom.name not in self._present]
        self._present = {symptom.name for symptom in found}
        return new

    def _check_stuck(self, records: deque[Record]) -> Symptom | None:
        """At or above ln K and not falling for epochs; a model that has collapsed is told as that."""
        last = records[-1]
        loss = max(record["loss"] for record in list(records)[-2:])  # one record may be of one lucky step
        has_moved = loss < 0.98 * last["ln_k"]
        is_above = loss > 1.02 * last["ln_k"]  # to come nearer to ln K than that is no progress
        has_fallen = bool(self._stuck) and is_above and loss < self._stuck[0]["loss"] - 0.01 * last["ln_k"]
        if has_moved or has_fallen:
            self._stuck.clear()
        self._stuck += [] if has_moved else [last]
        del self._stuck[1:-STUCK_RECORDS]
        first = self._stuck[0] if self._stuck else last
        is_long = last["epoch"] - first["epoch"] >= STUCK_EPOCHS and last["step"] - first["step"] >= STUCK_STEPS
        newest = [record["loss"] for record in self._stuck[-STUCK_RECORDS:]]
        is_there = len(newest) == STUCK_RECORDS and min(loss, fmean(newest)) >= STUCK_SHARE * last["ln_k"]
        if not (is_there and is_long) or _collapse(records) is not None:
            return None
        text = f"mean loss {fmean(newest):.4f} with ln K {last['ln_k']:.4f}, no lower since step {first['step']:.0f}"
        remedy = "a lower --optim.base-lr, a longer --swav.freeze-prototypes-steps, or fewer --model.num-prototypes"
        return Symptom("stuck at ln K", text, remedy)


def _collapse(records: deque[Record]) -> Symptom | None:
    """All embeddings in one place or on a line: nothing tells images apart, and the codes say so."""
    last = records[-1]
    on_a_line = last["embedding_spread"] < 0.2 and last.get("rankme", 1e9) < 3
    if last["embedding_spread"] >= 0.1 and last["code_entropy"] < 0.99 * last["ln_k"] and not on_a_line:
        return None
    entropy = f"code entropy {last['code_entropy']:.3f} of ln K {last['ln_k']:.3f}"
    rank = f", RankMe {last['rankme']:.1f}" if "rankme" in last else ""
    text = f"embedding spread {last['embedding_spread']:.3f}, {entropy}{rank}"
    return Symptom("collapse", text, "a lower --optim.base-lr, or a smaller --swav.epsilon", is_collapse=True)


def _divergence(records: deque[Record]) -> Symptom | None:
    """The loss rises far above what it was; where a queue came into use meanwhile, that is the cause to try first."""
    last = records[-1]
    best = min(record["loss"] for record in records)
    if not _has_risen(records) or _queue_start(records) is not None:
        return None
    text = f"loss {last['loss']:.3f} after {best:.3f}"
    return Symptom("divergence", text, "a lower --optim.base-lr, or more --optim.warmup-epochs")


def _has_risen(records: deque[Record]) -> bool:
    last, best = records[-1], min(record["loss"] for record in records)
    return last["loss"] >= best + 0.25 * last["ln_k"] and last["loss"] >= records[-2]["loss"]


def _queue_start(records: deque[Record]) -> int | None:
    """The first record with the queue in use, if it is among them and not the oldest."""
    pairs = enumerate(pairwise(records), 1)
    return next((i for i, (a, b) in pairs if b["queue_in_use"] > a["queue_in_use"]), None)


def _queue_too_early(records: deque[Record]) -> Symptom | None:
    """The loss jumps when the queue comes into use and stays up, or falls to codes of few prototypes and rises."""
    started = _queue_start(records)
    if started is None:
        return None
    before = min(record["loss"] for record in list(records)[:started])
    since = list(records)[started:]
    has_jumped = since[-1]["loss"] >= before + 0.05 * since[-1]["ln_k"] and since[-1]["loss"] >= since[0]["loss"]
    if not (has_jumped or _has_risen(records)):
        return None
    text = f"loss {before:.3f} before the queue came into use, {records[-1]['loss']:.3f} since"
    return Symptom(
        "queue started too early", text, "a later --swav.queue-start-epoch, or a shorter --swav.queue-length"
    )


def _partial_collapse(records: deque[Record]) -> Symptom | None:
    last = records[-1]
    if last["duplicate_prototypes"] < 0.2:
        return None
    text = f"{last['duplicate_prototypes']:.0%} of the prototypes repeat another one (cosine above 0.99)"
    return Symptom("partial prototype collapse", text, "fewer --model.num-prototypes, or a longer --swav.queue-length")


def _skipped(records: deque[Record]) -> Symptom | None:
    if len(records) < 2 or records[-1]["steps_skipped"] <= records[-2]["steps_skipped"]:
        return None
    count = records[-1]["steps_skipped"] - records[-2]["steps_skipped"]
    text = f"{count:.0f} step(s) since the last record were not finite"
    return Symptom("not finite", text, "a lower --optim.base-lr, or a larger --swav.epsilon")


_CHECKS: tuple[Callable[[deque[Record]], Symptom | None], ...] = (
    _collapse,
    _divergence,
    _queue_too_early,
    _partial_collapse,
    _skipped,
)
