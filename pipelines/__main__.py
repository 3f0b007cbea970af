"""`python -m pipelines`: the subcommands and nothing else."""

from __future__ import annotations

import argparse
import sys

from pipelines.commands import bench, decode_check, gpu_check, show
from shards.errors import run_command

EXAMPLES = """\
examples:
  python -m pipelines bench data/imagenet/train     how many images/s, by part and beside other loaders
  python -m pipelines show data/imagenet/train      a picture of crops, ours beside torchvision's
  python -m pipelines gpu-check --shards data/demo/train     what only a machine with a GPU can show
"""


def main() -> int:
    """Parse the command line and run the subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines",
        description="Shards to multi-crop batches: how fast, and how they look.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (bench, show, gpu_check, decode_check):
        command.add_parser(subparsers)
    args = parser.parse_args()
    return int(args.run(args))


def entry() -> int:
    """What `python -m pipelines` and the console script of this package run."""
    return run_command(main)


if __name__ == "__main__":
    sys.exit(entry())
