"""Exact duplicates by a digest of their bytes: found afterwards from the records, or beforehand where one must go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from shards.building.events import DONE, PictureEvent
from shards.building.plan import ShardPlan, key_of
from shards.building.policy import Action
from shards.building.record import NO_DIGEST, ShardRecord, digest_of
from shards.errors import ShardError
from shards.pictures.troubles import Trouble
from shards.sources.base import Reader, Source
from shards.sources.listing import Listing, SampleRef


def duplicates_written(listing: Listing, plan: ShardPlan, records: Iterable[ShardRecord]) -> Iterator[PictureEvent]:
    """An event for every picture whose bytes an earlier one, in the source's order, has as well."""
    ordered = sorted(records, key=lambda record: record.number)
    digests = _as_numbers("".join(record.digests for record in ordered))
    for rows, numbers in _groups(digests, plan.order):
        for row, number in zip(rows[1:], numbers[1:], strict=True):
            yield _event(listing.names[row], listing.names[rows[0]], Action.KEEP, key_of(number))


def without_duplicates(source: Source, listing: Listing, action: Action) -> tuple[Listing, list[PictureEvent]]:
    """The listing with only the first of every set of equal pictures, and an event for each of the others.

    Reads the pictures whose size another one has too, and those of equal digests once more to compare their bytes.
    Raises `ShardError` when `action` is STOP and there is a duplicate.
    """
    rows, reader = _rows_of_shared_size(listing.sizes), source.reader()
    digests = "".join(_digest(reader, listing[row]) for row in rows.tolist())
    dropped, events = [], []
    for same, _ in _groups(_as_numbers(digests), rows):
        first, content = listing.names[same[0]], reader.read(listing[same[0]])
        for row in (row for row in same[1:] if reader.read(listing[row]) == content):
            if action == Action.STOP:
                raise ShardError("duplicate, and the policy for it is to stop", where=listing.names[row], found=first)
            dropped.append(row)
            events.append(_event(listing.names[row], first, action, ""))
    keep = np.setdiff1d(np.arange(len(listing), dtype=np.int64), np.array(dropped, dtype=np.int64))
    return listing.take(keep), events


def _digest(reader: Reader, sample: SampleRef) -> str:
    try:
        return digest_of(reader.read(sample))
    except OSError:  # stays in the listing; the task that cannot read it either reports it
        return NO_DIGEST


def _groups(digests: NDArray[np.uint64], rows: NDArray[np.int64]) -> Iterator[tuple[list[int], list[int]]]:
    """(rows, positions) of every set of equal digests, ordered by row; position i has digests[i] and rows[i]."""
    order = np.lexsort((rows, digests[:, 1], digests[:, 0]))
    same = (digests[order][1:] == digests[order][:-1]).all(axis=1) & digests[order][1:].any(axis=1)
    starts = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    for first, last in zip(starts[0::2], starts[1::2], strict=True):
        positions = order[first : last + 1]
        yield rows[positions].tolist(), positions.tolist()


def _as_numbers(digests: str) -> NDArray[np.uint64]:
    """(samples, 2) from hexadecimal digests one after the other; zeros stand for no digest."""
    return np.frombuffer(bytes.fromhex(digests), dtype=np.uint64).reshape(-1, 2)


def _rows_of_shared_size(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows whose size is unknown or occurs more than once: only they can be duplicates."""
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    return np.flatnonzero((counts[inverse] > 1) | (sizes < 0))


def _event(name: str, first: str, action: Action, key: str) -> PictureEvent:
    detail = f"same bytes as {first}"
    return {"key": key, "name": name, "trouble": str(Trouble.DUPLICATE), "action": DONE[action], "detail": detail}
