"""`python -m swav_dali assign`: which prototype every image belongs to, as a table and as a sheet of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shards.commands.build import DROPPED_EXIT_CODE
from shards.commands.common import Subparsers, add_command, positive
from swav_dali.commands.common import PICTURES_HELP, add_images, add_weights, opened_pictures
from swav_dali.errors import ConfigError

if TYPE_CHECKING:
    from swav_dali.evaluate.pictures import Opened

EXAMPLES = """\
  python -m swav_dali assign runs/demo data/demo/validation --table nearest.csv
  python -m swav_dali assign runs/demo data/demo/validation --pictures prototypes.html
  python -m swav_dali assign runs/demo holiday-photos/ --table nearest.csv --pictures prototypes.html
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(
        subparsers, "assign", "Give every image its nearest prototype, score and code.", examples=EXAMPLES
    )
    add_weights(parser)
    parser.add_argument("pictures_in", type=Path, metavar="PICTURES", help=PICTURES_HELP)
    parser.add_argument("--table", type=Path, metavar="CSV", help="a row per image: id, key, label, prototype, ...")
    parser.add_argument("--pictures", type=Path, metavar="HTML", help="one page: prototypes with their nearest images")
    parser.add_argument("--nearest", type=positive, default=8, metavar="N", help="images per prototype there (8)")
    window = "images that share out the prototypes among them in their codes (4096)"
    parser.add_argument("--window", type=positive, default=4096, metavar="N", help=window)
    parser.add_argument("--head", type=_head, default=0, metavar="N", help="of several heads of prototypes (0)")
    add_images(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Assign, say how the prototypes are used, and write what was asked for."""
    with opened_pictures(args) as opened:
        _assign(args, opened)
    return DROPPED_EXIT_CODE if opened.num_dropped else 0


def _assign(args: argparse.Namespace, opened: Opened) -> None:
    from swav_dali.evaluate.session import open_session
    from swav_dali.evaluate.sheet import draw_sheet, write_table

    sizes = {"batch_size": args.batch_size, "resize": args.resize, "size": args.size, "threads": args.threads}
    with open_session(args.weights, device=args.device, **sizes) as session:
        found = session.assignment(opened.shards, window=args.window, head=args.head)
        if not session.world.is_main:
            return
        print(f"{session.network.weights.name}: {found.summary()}")
        try:
            if args.table:
                write_table(args.table, found, opened.keys)
                print(f"  table          {args.table}")
            if args.pictures:
                draw_sheet(args.pictures, found, opened.shards, opened.keys, count=args.nearest)
                print(f"  pictures       {args.pictures}")
        except OSError as error:
            raise ConfigError("cannot be written", where=error.filename or "OUT", found=error) from error


def _head(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return number
