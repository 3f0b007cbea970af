"""What the subcommands share: whose weights, which shards, which device. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.commands.common import note
from swav_dali.errors import ConfigError

if TYPE_CHECKING:
    from shards.tars.shardset import ShardSet
    from swav_dali.evaluate.pictures import Opened

PICTURES_HELP = "a shard set, or a folder or archive of pictures as `python -m shards build` reads them"


def add_weights(parser: argparse.ArgumentParser) -> None:
    """The weights, as a positional argument."""
    parser.add_argument(
        "weights", type=Path, metavar="RUN|FILE", help="a run folder, one of its checkpoints, or a file of weights"
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    """How pictures are read, and on which device."""
    group = parser.add_argument_group("pictures")
    group.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="images per step and rank (64)")
    group.add_argument("--resize", type=_positive, metavar="PX", help="short side (default: the run's, else 256)")
    group.add_argument("--size", type=_positive, metavar="PX", help="centre crop (default: the run's, else 224)")
    group.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: this rank's share)")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: CUDA if there is one")


def opened_pictures(args: argparse.Namespace) -> AbstractContextManager[Opened]:
    """PICTURES, for the length of the block; see swav_dali.evaluate.pictures."""
    from swav_dali.evaluate.pictures import open_pictures

    workers = args.threads or len(os.sched_getaffinity(0))
    return open_pictures(args.pictures_in, workers=workers, note=note)


def add_splits(parser: argparse.ArgumentParser) -> None:
    """The two labelled sets of an evaluation."""
    for name, what in (("train", "learnt from"), ("validation", "scored on")):
        parser.add_argument(
            f"--{name}", type=Path, metavar="SHARDS", help=f"shard set that is {what} (default: the run's own)"
        )


def split_folder(given: Path | None, name: str, config: Mapping[str, Any]) -> Path:
    """The folder of a split: as given, or the run's own.

    Raises:
        ConfigError: neither is known.
    """
    own = config.get(f"data.{name}")
    if given is not None:
        return given
    if own in (None, "None"):
        found = "weights that know no data" if not config else "a run without one"
        raise ConfigError("which shards?", where=f"--{name}", found=found, fix=f"give --{name} SHARDS")
    return Path(str(own))


def labelled_pair(train: ShardSet, validation: ShardSet) -> int:
    """The number of classes two labelled sets share.

    Raises:
        ConfigError: one has no labels, or their classes differ.
    """
    for flag, shards in (("--train", train), ("--validation", validation)):
        if not shards.is_labelled:
            raise ConfigError("the shards have no labels", where=flag, found=shards.root, expected="a labelled set")
    if train.classes != validation.classes:
        raise ConfigError(
            "the two sets have other classes",
            where="--validation",
            found=f"{len(validation.classes)} classes, training has {len(train.classes)}",
            fix="build both splits at once, so that they share their classes",
        )
    return len(train.classes)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return number
