"""`python -m shards check`: is a folder of shards sound, and will it train well."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.check import check, plan_check, steps_line
from shards.commands.common import Subparsers, add_command, add_workers, positive, say, split_folders, warn
from shards.manifest import MANIFEST_NAME
from shards.shardset import load_shard_set
from shards.workers import local_pool

EXAMPLES = """\
  python -m shards check data/pets                  structure, indices, keys, shuffling
  python -m shards check data/pets --quick          sizes and index checksums only
  python -m shards check data/pets --full           also sha256 of every tar and a decode of every picture
  python -m shards check data/pets --world-size 8 --batch-size 64
  python -m shards check someone-elses-tars/        tars of any origin
"""
PROBLEMS_EXIT_CODE = 1


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(
        subparsers, "check", "Check shards against their manifest and their own bytes.", examples=EXAMPLES
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="a shard set, a folder of them, or a folder of tars")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="only what opening the set checks")
    depth.add_argument("--full", action="store_true", help="read and decode everything")
    parser.add_argument("--world-size", type=positive, default=1, metavar="N", help="processes to project steps for")
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="images per process and step")
    add_workers(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check every set in DIR; returns 1 when something is wrong."""
    problems = 0
    for folder in split_folders(args.dir):
        say(str(folder))
        problems += _check_folder(folder, args)
    return PROBLEMS_EXIT_CODE if problems else 0


def _check_folder(folder: Path, args: argparse.Namespace) -> int:
    tasks = plan_check(folder, full=args.full)
    if (folder / MANIFEST_NAME).is_file():
        shard_set = load_shard_set(folder)
        say(f"  sizes and indices of {len(tasks)} shards are those of the manifest")
        say(f"  {steps_line(shard_set.num_samples, args.world_size, args.batch_size)}")
    if args.quick:
        return 0
    with local_pool(args.workers) as executor:
        report = check(tasks, executor)
    for fact in report.facts:
        say(f"  {fact}")
    for problem in report.problems:
        warn(problem)
    depth = "bytes, checksums and pictures" if args.full else "tar structure, indices and keys"
    say(f"  {len(report.problems)} problems" if report.problems else f"  sound: {depth}")
    return len(report.problems)
