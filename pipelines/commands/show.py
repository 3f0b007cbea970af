"""`python -m pipelines show`: crops as a picture, and how far they are from torchvision's as a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.recipes import CROPS_HELP, PRESETS, parse_crops
from shards.commands.common import Subparsers, add_command, positive, say
from shards.tars.shardset import load_shard_set

EXAMPLES = """\
  python -m pipelines show data/imagenet/train
  python -m pipelines show data/demo/train --preset demo
  python -m pipelines show data/pets/train --images 8 --crops 2x160+4x96 --group 1 --out crops.png --seed 3
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = (
        "Draw crops of a few images: ours, torchvision's with the same parameters, DALI's; print their differences."
    )
    parser = add_command(subparsers, "show", summary, examples=EXAMPLES)
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="a shard set; it is only read")
    parser.add_argument("--images", type=positive, default=6, metavar="N", help="rows: the first images (default 6)")
    parser.add_argument(
        "--preset", choices=PRESETS, default="imagenet", help="crops and distortions of a preset (default imagenet)"
    )
    parser.add_argument("--crops", metavar="CROPS", help=f"{CROPS_HELP} (default: those of the preset)")
    parser.add_argument("--group", type=int, default=0, metavar="K", help="crop group that is drawn (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn parameters")
    parser.add_argument("--out", type=Path, default=Path("crops.png"), help="the picture (default crops.png)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the picture, print the tables."""
    crops, augment = PRESETS[args.preset]
    groups, shards = parse_crops(args.crops) if args.crops else crops, load_shard_set(args.shards)
    group = groups[args.group % len(groups)]

    from pipelines.parity.compare import compare, table
    from pipelines.parity.contact_sheet import contact_sheet
    from pipelines.parity.decoded import first_images
    from pipelines.parity.distributions import drawn_rows
    from pipelines.parity.fast_levels import fast_levels

    images = first_images(shards, args.images)
    rows = drawn_rows(images, group, augment, seed=args.seed)
    contact_sheet(images, rows, group.size).save(args.out)
    say(f"{args.out}: {len(images)} images, {group.num} crops of {group.size} each, same parameters in every column")
    for by, make in (("cpu, gpu", None), ("dali", fast_levels)):
        say(f"\ncrops by {by}: levels of 0 to 255 away from torchvision")
        say(table(compare(images, rows, group.size, make=make)))
    return 0
