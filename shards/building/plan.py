"""Which sample goes where, decided before anything is written.

Pure functions of the listing, the seed and the shard size: a global shuffle, then even runs of the shuffled samples,
one run per shard. A sample's number in the shuffled order is its key. Nothing here depends on how many workers write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError
from shards.sources.listing import UNLABELLED, Listing
from shards.tars.ustar import BLOCK, END_OF_ARCHIVE, member_bytes

MIB = 1 << 20
DEFAULT_SHARD_MIB = 256
FEW_SHARDS = 8  # even a small set is cut into this many, so that permuting the shards each epoch mixes something
SMALLEST_SHARD = 64  # samples
KEY_DIGITS = 9
MOST_SHARDS = 1_000_000  # six digits in the names


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """The shuffled order and its cut into shards.

    Attributes:
        order: (samples,) row of the listing that becomes sample number i.
        bounds: (shards + 1,) shard s holds the samples numbered bounds[s] to bounds[s + 1] - 1.
        estimated_bytes: of all tars together; exact when the source knows its sizes.
    """

    order: NDArray[np.int64]
    bounds: NDArray[np.int64]
    estimated_bytes: int

    @property
    def num_shards(self) -> int:
        """Tars to write."""
        return len(self.bounds) - 1

    def rows(self, shard: int) -> NDArray[np.int64]:
        """Rows of the listing that make up a shard, in the order of their keys."""
        return self.order[self.bounds[shard] : self.bounds[shard + 1]]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How many shards there shall be: `num_shards`, or else about one per `shard_mib` MiB, a multiple of `multiple`."""

    shard_mib: float = DEFAULT_SHARD_MIB
    num_shards: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.shard_mib <= 0:
            raise ShardError("must be positive", where="--shard-mib", found=self.shard_mib)
        if self.multiple < 1:
            raise ShardError("must be 1 or more", where="--shard-multiple", found=self.multiple)
        if self.num_shards is not None and (self.num_shards < 1 or self.num_shards % self.multiple):
            expected = f"a multiple of {self.multiple}" if self.multiple > 1 else "1 or more"
            raise ShardError("not a number of shards", where="--num-shards", found=self.num_shards, expected=expected)


def plan_shards(listing: Listing, *, seed: int, cut: Cut) -> ShardPlan:
    """Shuffle the listing and cut it into shards that differ by one sample at most.

    Raises:
        ShardError: there are fewer samples than shards asked for, or more shards than names.
    """
    estimated_bytes = estimate_bytes(listing)
    num_shards = count_shards(len(listing), estimated_bytes, cut)
    bounds = np.array([len(listing) * shard // num_shards for shard in range(num_shards + 1)], dtype=np.int64)
    total = estimated_bytes + num_shards * len(END_OF_ARCHIVE)
    return ShardPlan(order=shuffled(len(listing), seed), bounds=bounds, estimated_bytes=total)


def shuffled(num_samples: int, seed: int) -> NDArray[np.int64]:
    """A permutation that is the same for the same seed in every NumPy version.

    Sorts raw 64-bit draws of PCG64, whose stream NumPy guarantees; it does not guarantee that of `permutation`.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(num_samples), kind="stable")


def count_shards(num_samples: int, num_bytes: int, cut: Cut) -> int:
    """The number asked for, or as many as the size wants, but at least a few where the samples suffice."""
    if cut.num_shards is not None:
        return _checked(cut.num_shards, num_samples, where="--num-shards")
    by_size = -(-num_bytes // max(1, int(cut.shard_mib * MIB)))
    few = max(1, min(FEW_SHARDS, num_samples // SMALLEST_SHARD))
    wished = min(max(by_size, few, 1), max(num_samples, 1))
    rounded_up = -(-wished // cut.multiple) * cut.multiple
    most = num_samples // cut.multiple * cut.multiple or cut.multiple
    return _checked(min(rounded_up, most), num_samples, where="--shard-multiple" if cut.multiple > 1 else "--shard-mib")


def _checked(num_shards: int, num_samples: int, *, where: str) -> int:
    if num_shards > num_samples:
        raise ShardError("more shards than samples", where=where, found=num_shards, expected=f"at most {num_samples:,}")
    if num_shards > MOST_SHARDS:
        raise ShardError("more shards than names", where=where, found=num_shards, expected=f"at most {MOST_SHARDS:,}")
    return num_shards


def estimate_bytes(listing: Listing) -> int:
    """Bytes of all members with headers and padding; exact where the sizes are no estimates."""
    sizes = np.abs(listing.sizes)
    pictures = int((sizes + -sizes % BLOCK).sum())
    labelled = int((listing.labels != UNLABELLED).sum())
    json_bytes = int((-(-(np.diff(listing.names.starts) + len('{"name": ""}')) // BLOCK)).sum()) * BLOCK
    return pictures + len(listing) * 2 * BLOCK + json_bytes + labelled * member_bytes(1)


def key_of(number: int) -> str:
    """The sample's key: its number in the shuffled order."""
    return f"{number:0{KEY_DIGITS}d}"


def fingerprint(listing: Listing, plan: ShardPlan, options: str) -> str:
    """Hexadecimal sha256 of everything that decides the output's bytes, apart from the pictures' own content.

    Stamps are left out: the same pictures give the same set, whenever their files were written.
    """
    digest = hashlib.sha256(options.encode())
    digest.update("\n".join(listing.classes).encode("utf-8", "surrogateescape"))
    digest.update(listing.names.blob)
    for column in (listing.names.starts, listing.sizes, listing.labels, plan.order, plan.bounds):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def shard_fingerprint(listing: Listing, plan: ShardPlan, shard: int, options: str) -> str:
    """Hexadecimal sha256 of everything that decides one shard's bytes, with stamps in the place of the content.

    A finished shard with this fingerprint need not be written again, whatever has changed in others.
    """
    rows = listing.take(plan.rows(shard))
    digest = hashlib.sha256(f"{options} {plan.bounds[shard]}".encode())
    digest.update(rows.names.blob)
    for column in (rows.names.starts, rows.sizes, rows.labels, rows.stamps):
        digest.update(column.data)
    return digest.hexdigest()
