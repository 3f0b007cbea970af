"""`python -m shards`: the subcommands and nothing else."""

from __future__ import annotations

import argparse
import sys

from shards.commands import bench, build, check, demo, index, info, stage
from shards.errors import run_command

EXAMPLES = """\
examples:
  python -m shards demo data/demo            draw a small labelled set, to try the trainer with
  python -m shards build pets/ data/pets     pictures to shards
  python -m shards check data/pets --full    is it sound
  python -m shards info data/pets            what is there
  python -m shards bench pets/               how fast it is here
"""


def main() -> int:
    """Parse the command line and run the subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m shards",
        description="Pictures to WebDataset tar shards and back.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (build, index, demo, check, info, stage, bench):
        command.add_parser(subparsers)
    args = parser.parse_args()
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(run_command(main))
