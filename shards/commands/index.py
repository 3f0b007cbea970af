"""`python -m shards index`: make existing tars readable by the trainer, in place."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.building.events import ERRORS_NAME
from shards.building.indexing import IndexedSet, IndexRules, index_splits
from shards.commands.build import DROPPED_EXIT_CODE
from shards.commands.common import LABEL_FIELD_HELP, Subparsers, add_command, add_workers, say, summary, warn
from shards.errors import ShardError
from shards.host.files import read_lines
from shards.host.local_pool import local_pool
from shards.sources.tar_samples import parse_label_field
from shards.sources.tar_splits import split_tars, tars_in

EXAMPLES = """\
  python -m shards index imagenet-wds                    train and validation tars: a set of links for each
  python -m shards index imagenet-wds --classes names.txt         one name per line, in label order
  python -m shards index imagenet-wds --include '*-train-*.tar'   these tars alone
  python -m shards index imagenet-22k --label-field json:label_12k
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    text = "Write DALI indices and a manifest beside existing WebDataset tars; copies nothing."
    parser = add_command(subparsers, "index", text, examples=EXAMPLES)
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder of tars")
    add_index_flags(parser)
    add_workers(parser)
    parser.set_defaults(run=run)


def add_index_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that decide what is indexed and how."""
    parser.add_argument("--classes", type=Path, metavar="FILE", help="class names, one per line")
    parser.add_argument("--include", metavar="GLOB", help="only tars whose names fit this pattern")
    parser.add_argument("--label-field", metavar="FIELD", help=LABEL_FIELD_HELP)
    parser.add_argument("--allow-drops", action="store_true", help="exit with 0 although samples are left out")


def rules_of(args: argparse.Namespace) -> IndexRules:
    """The rules that the flags spell."""
    field = parse_label_field(args.label_field) if args.label_field is not None else None
    return IndexRules(classes=tuple(read_lines(args.classes)) if args.classes else (), label_field=field)


def run(args: argparse.Namespace) -> int:
    """Index DIR; returns 3 when samples were left out and that was not allowed."""
    if not args.dir.is_dir():
        raise ShardError("no such folder", where=args.dir)
    rules, tars = rules_of(args), tars_in(args.dir, args.include)
    splits = split_tars(args.dir, tars, is_chosen=args.include is not None, note=warn)
    with local_pool(args.workers) as executor:
        indexed = index_splits(args.dir, splits, executor, rules)
    return conclude(indexed, allow_drops=args.allow_drops)


def conclude(indexed: list[IndexedSet], *, allow_drops: bool) -> int:
    """Say what was indexed; returns the exit code."""
    for one in indexed:
        say(f"indexed: {one.folder}: {summary(one.manifest)}")
        for line in one.warnings:
            warn(line)
        if one.manifest.num_dropped:
            left_out = f"{one.manifest.num_dropped:,} samples are not in the indices: {one.folder / ERRORS_NAME}"
            warn(f"{left_out}; `build` mends some kinds")
    num_dropped = sum(one.manifest.num_dropped for one in indexed)
    return DROPPED_EXIT_CODE if num_dropped and not allow_drops else 0
