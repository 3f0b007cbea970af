"""`python -m shards bench`: how fast pictures become shards on this machine."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from shards.commands.common import Subparsers, add_command, add_workers, note, positive, say

EXAMPLES = """\
  python -m shards bench                              drawn pictures
  python -m shards bench pets/ --rounds 5             your own: an even sample of 32,000, or copies up to as many
  python -m shards bench pets/ --copies 4 --workers 8 --folder /mnt/ssd --json bench.json
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Time building shards beside tar, decoding alone and webdataset's writer, in turns."
    parser = add_command(subparsers, "bench", summary, examples=EXAMPLES)
    parser.add_argument("src", type=Path, nargs="?", metavar="SRC", help="a folder of pictures; it is only read")
    add_workers(parser)
    parser.add_argument("--rounds", type=positive, default=3, metavar="R", help="turns of each contestant (default 3)")
    parser.add_argument(
        "--copies", type=positive, metavar="C", help="of the pictures (default: 32,000 pictures' worth)"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="disk to write on (default: for temporary files)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from shards.bench.lineup import line_up
    from shards.bench.report import sentences, table, write_record
    from shards.bench.working_set import make_working_set
    from shards.harness.turns import take_turns

    if args.json:
        args.json.touch()  # before minutes of work, if it cannot be written
    with tempfile.TemporaryDirectory(prefix="shards-bench-", dir=args.folder) as name:
        note("writing the pictures to work on")
        pictures = make_working_set(args.src, Path(name) / "pictures", num_copies=args.copies)
        timings = take_turns(line_up(pictures, Path(name), workers=args.workers), rounds=args.rounds, say=note)
    for line in [*table(timings), *sentences(timings)]:
        say(line)
    if args.json:
        write_record(args.json, timings, setting=vars(args))
    return 0
