"""`python -m pipelines gpu-check`: everything that only a machine with a GPU can show, in one JSON file.

The figures train networks, which this package knows nothing of; they are swav_dali.gpu_check, started by its name.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from shards.commands.common import Subparsers, above_zero, add_command, positive

EXAMPLES = """\
  python -m pipelines gpu-check                                          pictures are made, nothing is fetched
  python -m pipelines gpu-check --shards data/imagenet/train --json h200.json --budget 280
  python -m pipelines gpu-check --device cpu --tiny --json rehearsal.json  the whole list in a minute, without a GPU
"""
SUMMARY = "Measure what only a GPU can show, most valuable first, and go on where a killed run stopped."


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(subparsers, "gpu-check", SUMMARY, examples=EXAMPLES)
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The flags, the same under both names of the command."""
    parser.add_argument(
        "--json", type=Path, default=Path("gpu-check.json"), metavar="PATH", help="the figures (default gpu-check.json)"
    )
    parser.add_argument("--shards", type=Path, metavar="DIR", help="a shard set of photos; without it they are made")
    parser.add_argument("--pictures", type=positive, default=2048, metavar="N", help="photos to make (default 2048)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for what is made (default a temporary folder)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses the list")
    parser.add_argument("--tiny", action="store_true", help="small network, crops and pictures, few steps")
    parser.add_argument("--budget", type=above_zero, metavar="S", help="seconds after which no figure is begun")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="figures whose names contain one of these words")
    parser.add_argument("--list", action="store_true", help="print the figures and their time limits, measure nothing")


def run(args: argparse.Namespace) -> int:
    """Become the other program: a signal to this process then reaches what it runs."""
    del args  # parsed to be refused here where it is wrong
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "swav_dali.gpu_check", *sys.argv[2:]])
