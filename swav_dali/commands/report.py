"""`python -m swav_dali report`: a run, or several laid over each other, as one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.commands.common import Subparsers, add_command, say

EXAMPLES = """\
  python -m swav_dali report runs/demo
  python -m swav_dali report runs/a runs/b --out compared.html
  python -m swav_dali report runs/demo --serve 8000
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Draw a run, or several over each other, as one page that needs no network."
    parser = add_command(subparsers, "report", summary, examples=EXAMPLES)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    parser.add_argument("--out", type=Path, metavar="PATH", help="the page (default RUN/report.html of the first)")
    parser.add_argument(
        "--serve",
        type=int,
        metavar="PORT",
        help="show it on 127.0.0.1:PORT, drawn anew as the runs go on, until Ctrl-C",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page, or serve it."""
    if args.serve is not None:
        from swav_dali.watch.report.serving import serve

        serve(args.runs, args.serve, say)
        return 0
    from swav_dali.watch.report.page import write_report

    out = args.out or args.runs[0] / "report.html"
    write_report(args.runs, out)
    say(f"written: {out}")
    return 0
