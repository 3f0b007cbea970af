"""A labelled part of a shard set, for semi-supervised evaluation: the same tars under indices that name fewer samples.

DALI reads exactly what an index names, so a subset costs a few small files in a temporary folder and no picture is
copied. It is drawn per class from a seed, or read from a list of keys such as the published 1 % and 10 % lists.
"""

from __future__ import annotations

import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from shards.tars.index import IndexMember, format_index, parse_index
from shards.tars.sample_name import parse_sample_name
from shards.tars.shardset import Shard, ShardSet
from swav_dali.errors import ConfigError
from swav_dali.evaluate.samples import key_of, picture_of

Sample = list[IndexMember]
Chosen = dict[Path, list[Sample]]
"""Samples to keep, by tar."""


@contextmanager
def labelled_part(shards: ShardSet, labels: float | Path, *, seed: int) -> Iterator[ShardSet]:
    """The part of `shards` that `labels` says, for the length of the block.

    Args:
        shards: a labelled set.
        labels: a share in (0, 1] of every class, at least one image of each; or a file with a key or file name a line.
        seed: of the draw; the same for every start and every rank.

    Raises:
        ConfigError: a list that cannot be read or names a sample that is not there.
    """
    samples = {shard.tar: parse_index(shard.idx.read_bytes(), where=shard.idx) for shard in shards.shards}
    chosen = _listed(samples, labels) if isinstance(labels, Path) else _drawn(samples, labels, seed)
    with tempfile.TemporaryDirectory(prefix="swav-dali-") as folder:
        kept = [_written(shard, chosen[shard.tar], Path(folder)) for shard in shards.shards if chosen[shard.tar]]
        yield replace(shards, shards=tuple(kept))


def _written(shard: Shard, samples: list[Sample], folder: Path) -> Shard:
    idx = folder / shard.idx.name
    idx.write_bytes(format_index(samples))
    return replace(shard, idx=idx, num_samples=len(samples))


def _drawn(samples: Chosen, share: float, seed: int) -> Chosen:
    by_class: dict[int, list[tuple[Path, int]]] = defaultdict(list)
    for tar, members in samples.items():
        for place, label in enumerate(_labels(tar, members)):
            by_class[label].append((tar, place))
    generator = np.random.default_rng(seed)
    kept: dict[Path, set[int]] = defaultdict(set)
    for label in sorted(by_class):
        places = by_class[label]
        for index in generator.permutation(len(places))[: max(1, math.ceil(share * len(places)))]:
            tar, place = places[index]
            kept[tar].add(place)
    return {tar: [members[place] for place in sorted(kept[tar])] for tar, members in samples.items()}


def _labels(tar: Path, samples: list[Sample]) -> Iterator[int]:
    """From the `cls` members, or from the index's names where it says the labels itself."""
    with tar.open("rb") as file:
        for sample in samples:
            name = parse_sample_name(picture_of(sample).name)
            if name is not None and name.label is not None:
                yield name.label
                continue
            member = next(member for member in sample if member.suffix == "cls")
            file.seek(member.offset)
            yield int(file.read(member.size))


def _listed(samples: Chosen, path: Path) -> Chosen:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the list cannot be read", where=path, found=error) from error
    wanted = {line.split(".", 1)[0] for line in lines}
    chosen = {tar: [sample for sample in own if key_of(sample) in wanted] for tar, own in samples.items()}
    found = {key_of(sample) for own in chosen.values() for sample in own}
    if missing := sorted(wanted - found):
        fix = "keys are the names in the tars: python -m swav_dali features RUN SHARDS OUT.parquet lists them"
        found_text = f"{missing[0]!r} and {len(missing) - 1} more" if len(missing) > 1 else repr(missing[0])
        raise ConfigError("no such sample", where=path, found=found_text, fix=fix)
    return chosen
