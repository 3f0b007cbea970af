"""Pictures of any kind, opened for one evaluation: a shard set as it is, anything else that `shards build` reads.

Whatever is no shard set becomes one in a temporary folder, byte for byte, so that strange files meet the converter's
judgement and every reader of samples finds what it knows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from shards.building.build import build
from shards.building.crew import local_crew
from shards.building.events import read_errors, summary_lines
from shards.building.job import BuildOptions, plan_splits
from shards.remote.store import store_at
from shards.sources.recognise import recognise
from shards.sources.tar_splits import Note
from shards.tars.manifest import MANIFEST_NAME
from shards.tars.shardset import ShardSet, load_shard_set
from swav_dali.errors import ConfigError
from swav_dali.evaluate.samples import sample_keys


class Opened(NamedTuple):
    """Pictures to evaluate.

    Attributes:
        shards: the pictures.
        keys: what a person calls each sample, by sample id: its key in a tar, or its file's name.
        num_dropped: pictures of the source that could not be taken into the shards.
    """

    shards: ShardSet
    keys: Mapping[int, str]
    num_dropped: int


@contextmanager
def open_pictures(place: Path, *, workers: int, note: Note) -> Iterator[Opened]:
    """The pictures at `place` for the length of the block.

    Args:
        place: a shard set, or a folder or archive of pictures in one split.
        workers: processes that read the pictures.
        note: told what was found, and what is odd about pictures.

    Raises:
        ShardError: nothing there can be read, or $TMPDIR is too small.
        ConfigError: several splits, or several ranks, each of which would read all pictures.
    """
    if (place / MANIFEST_NAME).is_file() or not place.exists():
        shards = load_shard_set(place)
        yield Opened(shards, sample_keys(shards), 0)
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        fix = f"first python -m shards build {place} OUT, then give OUT"
        raise ConfigError("several ranks read shards only", where=place, found="no shard set", fix=fix)
    sources = recognise(place, note=note)
    if len(sources) > 1:
        raise ConfigError("which split?", where=place, found=" and ".join(sources), fix=f"give {place / min(sources)}")
    with tempfile.TemporaryDirectory(prefix="pictures-") as scratch:
        folder = Path(scratch) / place.name  # the name is shown
        with local_crew(workers) as crew:
            (job,) = plan_splits(sources, BuildOptions()).values()
            note(f"{place}: {next(iter(sources.values())).description}, {len(job.listing):,} images")
            manifest, _was_written = build(job, store_at(str(folder)), crew)
        for line in summary_lines(read_errors(store_at(str(folder)))):
            note(line)
        names = {number: job.listing.names[row] for number, row in enumerate(job.plan.order)}
        yield Opened(load_shard_set(folder), names, manifest.num_dropped)
