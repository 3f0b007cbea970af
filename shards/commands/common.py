"""What the subcommands share: help that keeps its line breaks, the worker count, one line per finished set."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Protocol

from shards.tars.manifest import MANIFEST_NAME, Manifest

MB = 1e6
MOST_WORKERS = 1024
EXIT_CODES = "exit codes: 0 done, 1 problems found, 2 a mistake, 3 done but pictures were left out, 130 interrupted"
LABEL_FIELD_HELP = "where labels are, instead of .cls members: json:NAME, or the suffix of a member of digits"


class Subparsers(Protocol):
    """What argparse's `add_subparsers` returns, as far as it is used here."""

    def add_parser(self, name: str, **kwargs: object) -> argparse.ArgumentParser: ...


def add_command(subparsers: Subparsers, name: str, summary: str, *, examples: str) -> argparse.ArgumentParser:
    """A subcommand whose --help ends with its examples and exit codes."""
    return subparsers.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"examples:\n{examples}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The --workers flag."""
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--workers", type=worker_count, default=cores, metavar="N", help=f"processes (default {cores}: all cores)"
    )


def positive(text: str) -> int:
    """An argparse type: a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return number


def worker_count(text: str) -> int:
    """An argparse type: a number of processes."""
    number = positive(text)
    if number > MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be {MOST_WORKERS} or less, not {text}")
    return number


def above_zero(text: str) -> float:
    """An argparse type: a finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0 with an end, such as 256, not {text}")
    return number


def split_folders(root: Path) -> list[Path]:
    """The shard sets right below a folder, or the folder itself when it is one or has none below."""
    splits = [path.parent for path in sorted(root.glob(f"*/{MANIFEST_NAME}"))]
    return splits if splits and not (root / MANIFEST_NAME).is_file() else [root]


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line on standard error, about what is going on."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A line that should not be missed, on standard error."""
    note(f"warning: {text}")


def summary(manifest: Manifest) -> str:
    """Samples, classes, shards and size of a set in a few words."""
    labels = f"{len(manifest.classes)} classes" if manifest.classes else "no labels"
    megabytes = sum(shard.tar_bytes for shard in manifest.shards) / MB
    return f"{manifest.num_samples:,} images, {labels}, {len(manifest.shards)} shards, {megabytes:,.1f} MB"
