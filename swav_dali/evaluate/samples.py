"""Where each sample of a shard set lies and what it is called, by its number in the set.

Numbers have gaps where the converter left pictures out, so no list can hold them by place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shards.tars.index import IndexMember, parse_index
from shards.tars.sample_name import parse_sample_name
from shards.tars.shardset import ShardSet


class Place(NamedTuple):
    """The picture of a sample: its tar, its member there, and its number in the set."""

    tar: Path
    member: IndexMember
    number: int


def sample_places(shards: ShardSet) -> Iterator[Place]:
    """Every sample of a set, in the order of the shards."""
    for shard in shards.shards:
        for sample in parse_index(shard.idx.read_bytes(), where=shard.idx):
            member = picture_of(sample)
            if (name := parse_sample_name(member.name)) is not None:  # of others' indices the loader says what to do
                yield Place(shard.tar, member, name.number)


def sample_keys(shards: ShardSet) -> dict[int, str]:
    """The key of every sample by its number."""
    return {place.number: _key(place.member) for place in sample_places(shards)}


def key_of(sample: Sequence[IndexMember]) -> str:
    """The name of a sample in its tar, without suffix: up to the first dot after the last slash."""
    return _key(picture_of(sample))


def picture_of(sample: Sequence[IndexMember]) -> IndexMember:
    """The member that is the picture."""
    return next(member for member in sample if member.suffix != "cls")


def _key(picture: IndexMember) -> str:
    parsed = parse_sample_name(picture.name)
    folder, slash, name = (picture.name if parsed is None else parsed.name).rpartition("/")
    return folder + slash + name.split(".", 1)[0]
