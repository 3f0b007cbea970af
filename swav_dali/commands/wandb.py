"""`python -m swav_dali wandb`: a run's metrics.jsonl as one wandb run."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.commands.common import Subparsers, add_command, say

EXAMPLES = """\
  python -m swav_dali wandb runs/demo                 one offline folder, for wandb sync
  python -m swav_dali wandb runs/demo --mode online   straight to the server
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Write a run's metrics.jsonl as one wandb run, however often it was resumed; again changes nothing."
    parser = add_command(subparsers, "wandb", summary, examples=EXAMPLES)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument("--mode", choices=("offline", "online"), default="offline", help="where to (default offline)")
    parser.add_argument("--project", metavar="NAME", help="wandb project (default the run's --log.wandb-project)")
    parser.add_argument("--tables", action="store_true", help="send the run's pictures too, as tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, and tell where the result is."""
    from swav_dali.watch.replay import replay
    from swav_dali.watch.sinks.base import SinkNotice

    try:
        sent = replay(args.run_folder, mode=args.mode, project=args.project, tables=args.tables)
    except SinkNotice as notice:
        say(str(notice))
        return 1
    say(f"{sent} steps sent to wandb, {args.mode}")
    if args.mode == "offline":
        newest = max((args.run_folder / "wandb").glob("offline-run-*"))
        say(f"upload with: wandb sync {newest}")
    return 0
