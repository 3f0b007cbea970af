"""`python -m pipelines show`: crops as a picture, and how far they are from torchvision's as a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.config import Augmentation
from pipelines.recipes import CROPS_HELP, parse_crops
from shards.commands.common import Subparsers, add_command, positive, say
from shards.tars.shardset import load_shard_set

EXAMPLES = """\
  python -m pipelines show data/pets/train
  python -m pipelines show data/pets/train --images 8 --crops 2x160+4x96 --group 1 --out crops.png --seed 3
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Draw crops of a few images: exact, torchvision with the same parameters, fast; print their differences."
    parser = add_command(subparsers, "show", summary, examples=EXAMPLES)
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="a shard set; it is only read")
    parser.add_argument("--images", type=positive, default=6, metavar="N", help="rows: the first images (default 6)")
    parser.add_argument("--crops", default="2x224+6x96", metavar="CROPS", help=CROPS_HELP)
    parser.add_argument("--group", type=int, default=0, metavar="K", help="crop group that is drawn (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn parameters")
    parser.add_argument("--out", type=Path, default=Path("crops.png"), help="the picture (default crops.png)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the picture, print the tables."""
    groups, shards = parse_crops(args.crops), load_shard_set(args.shards)
    group, augment = groups[args.group % len(groups)], Augmentation()

    from pipelines.parity.compare import compare, table
    from pipelines.parity.contact_sheet import contact_sheet
    from pipelines.parity.decoded import first_images
    from pipelines.parity.distributions import drawn_rows
    from pipelines.parity.fast_levels import fast_levels

    images = first_images(shards, args.images)
    rows = drawn_rows(images, group, augment, seed=args.seed)
    contact_sheet(images, rows, group.size).save(args.out)
    say(f"{args.out}: {len(images)} images, {group.num} crops of {group.size} each, same parameters in every column")
    for quality, make in (("exact", None), ("fast", fast_levels)):
        say(f"\n{quality}: levels of 0 to 255 away from torchvision")
        say(table(compare(images, rows, group.size, make=make)))
    return 0
