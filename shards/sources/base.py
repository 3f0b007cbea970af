"""The two halves of a source: what is there (`Source.scan`), and bytes on demand (`Reader.read`).

A reader travels to worker processes, on this machine or another one, so it is small, picklable and opens its files
when first used.
"""

from __future__ import annotations

from typing import Protocol

from shards.sources.listing import Listing, SampleRef


class Reader(Protocol):
    """Gives the original bytes of samples."""

    def read(self, sample: SampleRef) -> bytes:
        """The sample's bytes. Raises OSError when they cannot be read."""
        ...


class Source(Protocol):
    """A set of pictures, with or without labels."""

    @property
    def kind(self) -> str:
        """Name of the kind of source, without its place; kept in the manifest."""
        ...

    @property
    def is_sequential(self) -> bool:
        """Whether reading in the source's own order is much cheaper than in any other."""
        ...

    @property
    def description(self) -> str:
        """What kind of source it is and where, for a person: "class folders in pets/train"."""
        ...

    def scan(self) -> tuple[Listing, list[str]]:
        """Every sample in the source's own order, and warnings for a person.

        Raises:
            ShardError: the source holds no pictures or is not what it looked like.
        """
        ...

    def reader(self) -> Reader:
        """A reader for the samples of `scan`."""
        ...
