"""`python -m shards`: the subcommands and nothing else."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys

from shards.errors import ShardError, run_command

COMMANDS = ("build", "fetch", "index", "demo", "check", "info", "stage", "bench")
MORE_SPACE = "free some or choose another disk, then run the same command again: it goes on where it was"
FIXES = {
    errno.ENOSPC: MORE_SPACE,
    errno.EDQUOT: MORE_SPACE,
    errno.ENOTDIR: "a file lies where a folder is wanted: choose another path",
    errno.EROFS: "choose a place that can be written",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
}
PLACES = ("out", "dir", "folder")  # of what a command writes
EXAMPLES = """\
examples:
  python -m shards demo data/demo            draw a small labelled set, to try the trainer with
  python -m shards build pets/ data/pets     pictures to shards
  python -m shards fetch hf://datasets/timm/imagenet-1k-wds data/imagenet
  python -m shards check data/pets --full    is it sound
  python -m shards info data/pets            what is there
  python -m shards bench pets/               how fast it is here
"""


def main() -> int:
    """Parse the command line and run the subcommand; returns the exit code. No other subcommand is imported."""
    parser = argparse.ArgumentParser(
        prog="python -m shards",
        description="Pictures to WebDataset tar shards and back.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in [name for name in COMMANDS if name in sys.argv[1:2]] or COMMANDS:
        importlib.import_module(f"shards.commands.{name}").add_parser(subparsers)
    args = parser.parse_args()
    try:
        return int(args.run(args))
    except BrokenPipeError:
        raise
    except OSError as error:  # no permission, no space, no such folder: for a person, and in one line
        raise _said(error, args) from error


def _said(error: OSError, args: argparse.Namespace) -> ShardError:
    """What the operating system refused, with its place and what to do. A full disk comes without a name."""
    where = error.filename or next((vars(args)[name] for name in PLACES if vars(args).get(name)), None)
    fix = FIXES.get(error.errno) if error.errno is not None else None
    return ShardError(error.strerror or str(error), where=where, fix=fix)


def entry() -> int:
    """What `python -m shards` and the console script of this package run."""
    # NumPy's BLAS, of which nothing here makes use, would start a thread per core in every process, and a process with
    # one thread can fork its workers.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return run_command(main)


if __name__ == "__main__":
    sys.exit(entry())
