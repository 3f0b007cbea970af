"""Which sample goes where, decided before anything is written.

Pure functions of the listing, the seed and the shard size: a global shuffle, then even runs of the shuffled samples,
one run per shard. A sample's number in the shuffled order is its key. Nothing here depends on how many workers write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.listing import UNLABELLED, Listing
from shards.ustar import BLOCK, END_OF_ARCHIVE, member_bytes

MIB = 1 << 20
DEFAULT_SHARD_MIB = 256
FEW_SHARDS = 8  # even a small set is cut into this many, so that permuting the shards each epoch mixes something
SMALLEST_SHARD = 64  # samples
KEY_DIGITS = 9


@dataclass(frozen=True, kw_only=True)
class Plan:
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


def make_plan(listing: Listing, *, seed: int, shard_mib: float = DEFAULT_SHARD_MIB) -> Plan:
    """Shuffle the listing and cut it into shards of about `shard_mib` MiB that differ by one sample at most."""
    estimated_bytes = estimate_bytes(listing)
    num_shards = count_shards(len(listing), estimated_bytes, shard_mib)
    bounds = np.array([len(listing) * shard // num_shards for shard in range(num_shards + 1)], dtype=np.int64)
    total = estimated_bytes + num_shards * len(END_OF_ARCHIVE)
    return Plan(order=shuffled(len(listing), seed), bounds=bounds, estimated_bytes=total)


def shuffled(num_samples: int, seed: int) -> NDArray[np.int64]:
    """A permutation that is the same for the same seed in every NumPy version.

    Sorts raw 64-bit draws of PCG64, whose stream NumPy guarantees; it does not guarantee that of `permutation`.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(num_samples), kind="stable")


def count_shards(num_samples: int, num_bytes: int, shard_mib: float) -> int:
    """Shards of about `shard_mib` MiB, but at least a few where the samples suffice."""
    by_size = -(-num_bytes // max(1, int(shard_mib * MIB)))
    few = max(1, min(FEW_SHARDS, num_samples // SMALLEST_SHARD))
    return min(max(by_size, few, 1), max(num_samples, 1))


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


def fingerprint(listing: Listing, plan: Plan, options: str) -> str:
    """Hexadecimal sha256 of everything that decides the output's bytes, apart from the pictures' own content.

    Stamps are left out: the same pictures give the same set, whenever their files were written.
    """
    digest = hashlib.sha256(options.encode())
    digest.update("\n".join(listing.classes).encode("utf-8", "surrogateescape"))
    digest.update(listing.names.blob)
    for column in (listing.names.starts, listing.sizes, listing.labels, plan.order, plan.bounds):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def shard_fingerprint(listing: Listing, plan: Plan, shard: int, options: str) -> str:
    """Hexadecimal sha256 of everything that decides one shard's bytes, with stamps in the place of the content.

    A finished shard with this fingerprint need not be written again, whatever has changed in others.
    """
    rows = listing.take(plan.rows(shard))
    digest = hashlib.sha256(f"{options} {plan.bounds[shard]}".encode())
    digest.update(rows.names.blob)
    for column in (rows.names.starts, rows.sizes, rows.labels, rows.stamps):
        digest.update(column.data)
    return digest.hexdigest()
