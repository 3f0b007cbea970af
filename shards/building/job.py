"""The plan of a build, complete before anything is written: options, source, listing, order and their fingerprint."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from shards.building.duplicates import without_duplicates
from shards.building.events import PictureEvent
from shards.building.judge import Judge
from shards.building.plan import Cut, ShardPlan, fingerprint, plan_shards, shard_fingerprint
from shards.building.policy import Action
from shards.building.shard_task import ShardTask, stem_of
from shards.building.spill import Spill
from shards.errors import ShardError
from shards.pictures.troubles import Trouble
from shards.sources.base import Source
from shards.sources.listing import UNLABELLED, Listing

UNWRITABLE = frozenset({"Cc", "Cs"})  # control characters, and surrogates: bytes that are no UTF-8
MANY_SHARDS = 1000


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What decides the output beside the source.

    Attributes:
        name: first part of the shard file names.
        seed: of the global shuffle.
        cut: how many shards there shall be.
        judge: checks every picture and decides what is written.
        sequential: whether to read the source in its own order, through scratch files; changes no byte of the output.
        overwrite: whether another shard set in the output folder may be replaced.
    """

    name: str = "shard"
    seed: int = 0
    cut: Cut = field(default_factory=Cut)
    judge: Judge = field(default_factory=Judge)
    sequential: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ShardError(
                "not usable in file names", where="--name", found=self.name, expected="letters, digits, - or _"
            )
        if self.seed < 0:
            raise ShardError("must not be negative", where="--seed", found=self.seed)

    def describe(self) -> str:
        """One line that differs between options which may write different bytes for the same plan."""
        return f"1 {self.name} {self.seed} {self.judge.describe()}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A source with its plan: what `plan_build` hands to `build`.

    `fingerprint` is the same for the same set; `events` are of pictures left out of the plan.
    """

    source: Source
    listing: Listing
    plan: ShardPlan
    options: BuildOptions
    fingerprint: str
    warnings: tuple[str, ...]
    events: tuple[PictureEvent, ...]

    @property
    def stems(self) -> list[str]:
        """File names of all shards without the suffix."""
        return [stem_of(self.options.name, number) for number in range(self.plan.num_shards)]

    def shard_fingerprint(self, number: int) -> str:
        """What the record of shard `number` must say for the shard to be left as it is."""
        return shard_fingerprint(self.listing, self.plan, number, self.options.describe())

    @property
    def is_sequential(self) -> bool:
        """Whether the source is read in its own order, through scratch files."""
        return self.options.sequential or self.source.is_sequential

    def task(self, out: Path, number: int, spill: Spill | None = None) -> ShardTask:
        """The task that writes shard `number` into `out`, from its scratch file if there is one."""
        rows = self.plan.rows(number)
        return ShardTask(
            out=out,
            name=self.options.name,
            number=number,
            first=int(self.plan.bounds[number]),
            samples=spill.samples(self.listing, rows) if spill else self.listing.take(rows),
            reader=spill.reader(number) if spill else self.source.reader(),
            judge=self.options.judge,
            plan=self.shard_fingerprint(number),
        )


def plan_build(source: Source, options: BuildOptions) -> Job:
    """The job of a source without splits; see `plan_splits`."""
    return plan_splits({"": source}, options)[""]


def plan_splits(sources: Mapping[str, Source], options: BuildOptions) -> dict[str, Job]:
    """Scan the sources and decide which sample goes where; writes nothing.

    Reads pictures only if the policy for duplicates leaves them out, since the plan is made of what is left.

    Raises:
        ShardError: a source cannot be read, only some of its samples have a label, or it is too small for its cut.
    """
    scanned = {split: _scan(source) for split, source in sources.items()}
    numbers = max(
        (listing.classes for listing, _ in scanned.values() if _are_numbers(listing.classes)), key=len, default=()
    )
    return {split: _plan(sources[split], *found, numbers, options) for split, found in scanned.items()}


def _scan(source: Source) -> tuple[Listing, list[str]]:
    listing, warnings = source.scan()
    _check_labels(source, listing)
    _check_classes(source, listing)
    return listing, warnings


def _plan(
    source: Source, listing: Listing, warnings: list[str], numbers: tuple[str, ...], options: BuildOptions
) -> Job:
    if _are_numbers(listing.classes):  # a split that lacks the last classes has them all the same
        listing = replace(listing, classes=numbers)
    events: list[PictureEvent] = []
    if (action := options.judge.policy.actions[Trouble.DUPLICATE]) != Action.KEEP:
        listing, events = without_duplicates(source, listing, action)
    plan = plan_shards(listing, seed=options.seed, cut=options.cut)
    if plan.num_shards > MANY_SHARDS:
        warnings = [
            *warnings,
            f"{plan.num_shards} shards are slow to open: raise --shard-mib or give --num-shards to have fewer",
        ]
    return Job(
        source=source,
        listing=listing,
        plan=plan,
        options=options,
        fingerprint=fingerprint(listing, plan, options.describe()),
        warnings=tuple(warnings),
        events=tuple(events),
    )


def _are_numbers(classes: tuple[str, ...]) -> bool:
    """Whether the names only stand in for names that are not known."""
    return classes == tuple(str(label) for label in range(len(classes))) and bool(classes)


def _check_classes(source: Source, listing: Listing) -> None:
    """Refuse names that a manifest cannot hold or that would break a line."""
    for name in listing.classes:
        if any(unicodedata.category(letter) in UNWRITABLE for letter in name):
            raise ShardError("a class name that cannot be written", where=source.description, found=ascii(name))


def _check_labels(source: Source, listing: Listing) -> None:
    """Refuse a half-labelled source: a reader of labels would stop at the first sample without one."""
    if 0 < (num_unlabelled := int((listing.labels == UNLABELLED).sum())) < len(listing):
        found = f"{num_unlabelled:,} of {len(listing):,} without"
        raise ShardError("only some samples have a label", where=source.description, found=found)
