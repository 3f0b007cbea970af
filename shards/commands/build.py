"""`python -m shards build`: pictures to shards."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.build import BuildOptions, build, plan_build
from shards.commands.common import Subparsers, add_command, add_workers, pool_of, say, summary, warn
from shards.plan import DEFAULT_SHARD_MIB
from shards.sources.recognise import recognise

EXAMPLES = """\
  python -m shards build pets/ data/pets           class folders; pets/train + pets/val give data/pets/train, validation
  python -m shards build photos/ data/photos       a flat folder without labels
  python -m shards build pets/ data/pets --seed 7 --shard-mib 64 --workers 8
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(
        subparsers, "build", "Turn pictures into WebDataset shards with DALI indices.", examples=EXAMPLES
    )
    parser.add_argument("src", type=Path, metavar="SRC", help="folder of class folders, or of pictures without labels")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the shards; a split gets a folder in it")
    add_build_flags(parser)
    add_workers(parser)
    parser.set_defaults(run=run)


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that decide what the shards look like."""
    parser.add_argument("--seed", type=int, default=0, help="of the global shuffle (default 0)")
    parser.add_argument("--name", default="shard", help="first part of the file names (default shard)")
    parser.add_argument(
        "--shard-mib", type=float, default=DEFAULT_SHARD_MIB, metavar="MIB", help=f"default {DEFAULT_SHARD_MIB}"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another shard set in OUT")


def run(args: argparse.Namespace) -> int:
    """Build every split found in SRC."""
    options = BuildOptions(name=args.name, seed=args.seed, shard_mib=args.shard_mib, overwrite=args.overwrite)
    for split, source in recognise(args.src).items():
        out = args.out / split
        say(f"source: {source.description}")
        job = plan_build(source, options)
        for text in job.warnings:
            warn(text)
        plan_line = f"{len(job.listing):,} images into {job.plan.num_shards} shards"
        say(f"plan: {plan_line}, about {job.plan.estimated_bytes / 1e6:,.1f} MB, seed {options.seed}")
        manifest, was_written = build(job, out, pool=pool_of(args.workers), num_in_flight=2 * args.workers)
        say(f"{'written' if was_written else 'already complete'}: {out}: {summary(manifest)}")
    return 0
