"""`python -m swav_dali`: the subcommands and nothing else."""

from __future__ import annotations

import argparse
import importlib
import sys

from shards.errors import run_command

COMMANDS = ("report", "wandb", "dashboard", "evaluate", "features", "assign", "export", "bench")
EXAMPLES = """\
examples:
  python -m swav_dali report runs/demo                   runs/demo/report.html, anew
  python -m swav_dali wandb runs/demo                    the whole run as one wandb run, however often it was resumed
  python -m swav_dali dashboard runs/demo --wandb        a workspace in wandb: throughput, time, learning, health
  python -m swav_dali evaluate linear runs/demo          linear heads on frozen features
  python -m swav_dali evaluate knn runs/demo             k nearest neighbours, several k at once
  python -m swav_dali features runs/demo data/demo/validation demo.npz
  python -m swav_dali assign runs/demo data/demo/validation --pictures prototypes.html
  python -m swav_dali export runs/demo --to safetensors demo.safetensors
  python -m swav_dali bench head                         a step's parts beside the published loop, on this machine
"""


def main() -> int:
    """Parse the command line and run the subcommand; returns the exit code. No other subcommand is imported."""
    parser = argparse.ArgumentParser(
        prog="python -m swav_dali",
        description="What a trained network is worth, and how others use it. Training itself is train.py.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in [name for name in COMMANDS if name in sys.argv[1:2]] or COMMANDS:
        importlib.import_module(f"swav_dali.commands.{name}").add_parser(subparsers)
    args = parser.parse_args()
    return int(args.run(args))


def entry() -> int:
    """What `python -m swav_dali` and the console script of this package run."""
    return run_command(main)


if __name__ == "__main__":
    sys.exit(entry())
