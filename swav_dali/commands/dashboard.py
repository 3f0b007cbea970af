"""`python -m swav_dali dashboard`: a workspace in wandb that shows a run by what matters."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.commands.common import Subparsers, add_command, say

EXAMPLES = """\
  python -m swav_dali dashboard runs/demo --wandb    a new workspace in the run's project; prints its address
  python -m swav_dali dashboard runs/demo --json     what would be sent, without a network
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Make a run's workspace: throughput, where the time goes, learning, health."
    parser = add_command(subparsers, "dashboard", summary, examples=EXAMPLES)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the run folder")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--wandb", action="store_true", help="make it in wandb, which needs a login")
    where.add_argument("--json", action="store_true", help="print it instead")
    parser.add_argument("--project", metavar="NAME", help="wandb project (default the run's --log.wandb-project)")
    parser.add_argument("--entity", metavar="NAME", help="wandb user or team (default the login's)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the workspace, or print it."""
    from swav_dali.watch.replay import read_config
    from swav_dali.watch.workspace import as_json, make_workspace, send_workspace

    config = read_config(args.run_folder)
    run_name, run_id = str(config.get("name", args.run_folder.name)), str(config["run_id"])
    project = args.project or str(config.get("log.wandb_project", "swav-dali"))
    if args.json:
        entity = args.entity or "me"
        say(as_json(make_workspace(run_name=run_name, run_id=run_id, project=project, entity=entity)))
        return 0
    say(send_workspace(folder=args.run_folder, run_name=run_name, run_id=run_id, project=project, entity=args.entity))
    return 0
