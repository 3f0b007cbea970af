"""`python -m shards index`: make existing tars readable by the trainer, in place."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.building.indexing import index_folder
from shards.building.report import ERRORS_NAME
from shards.commands.build import DROPPED_EXIT_CODE
from shards.commands.common import Subparsers, add_command, add_workers, say, summary, warn
from shards.commands.os_errors import say_os_errors
from shards.host.files import read_lines
from shards.host.local_pool import local_pool

EXAMPLES = """\
  python -m shards index imagenet-wds/train
  python -m shards index imagenet-wds/train --classes names.txt      one name per line, in label order
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    text = "Write DALI indices and a manifest beside existing WebDataset tars; copies nothing."
    parser = add_command(subparsers, "index", text, examples=EXAMPLES)
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder of the tars of one split")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="class names, one per line")
    parser.add_argument("--allow-drops", action="store_true", help="exit with 0 although samples are left out")
    add_workers(parser)
    parser.set_defaults(run=say_os_errors(run))


def run(args: argparse.Namespace) -> int:
    """Index DIR; returns 3 when samples were left out and that was not allowed."""
    classes = tuple(read_lines(args.classes)) if args.classes else ()
    with local_pool(args.workers) as executor:
        manifest = index_folder(args.dir, executor, classes=classes)
    say(f"indexed: {args.dir}: {summary(manifest)}")
    if manifest.num_dropped:
        warn(f"{manifest.num_dropped:,} samples are not in the indices: {args.dir / ERRORS_NAME}")
    return DROPPED_EXIT_CODE if manifest.num_dropped and not args.allow_drops else 0
