"""`python -m shards info`: what a folder of shards holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.checking.contact_sheet import MAX_CLASSES, contact_sheet
from shards.commands.common import MB, Subparsers, add_command, positive, say, split_folders
from shards.errors import ShardError
from shards.tars.shardset import ShardSet, load_shard_set

EXAMPLES = """\
  python -m shards info data/pets            every split below
  python -m shards info data/pets/train --picture pets.png
"""
FIRST_CLASSES = 12
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(subparsers, "info", "Say what a folder of shards holds.", examples=EXAMPLES)
    parser.add_argument("dir", type=Path, metavar="DIR", help="a shard set, or a folder of them")
    picture = "write a contact sheet per split, with class names, as FILE-SPLIT.png"
    parser.add_argument("--picture", type=Path, metavar="FILE", help=picture)
    rows = f"classes on a contact sheet (default {MAX_CLASSES})"
    parser.add_argument("--max-classes", type=positive, default=MAX_CLASSES, metavar="N", help=rows)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every shard set in DIR or right below it."""
    for folder in split_folders(args.dir):
        shard_set = load_shard_set(folder)
        for line in describe(shard_set):
            say(line)
        if args.picture:
            path = args.picture.with_name(f"{args.picture.stem}-{folder.name}{args.picture.suffix or '.png'}")
            _draw(shard_set, path, args.max_classes)
            say(f"  picture  {path}{_part_shown(len(shard_set.classes), args.max_classes)}")
    return 0


def _part_shown(num_classes: int, most: int) -> str:
    return f", {most} of {num_classes:,} classes; --max-classes {num_classes} draws all" if num_classes > most else ""


def _draw(shard_set: ShardSet, path: Path, max_classes: int) -> None:
    if (suffix := path.suffix.lower()) not in PICTURE_SUFFIXES:
        raise ShardError(
            "no format for a picture", where="--picture", found=suffix, expected=" ".join(PICTURE_SUFFIXES)
        )
    try:
        sheet = contact_sheet(shard_set, max_classes=max_classes)
    except (OSError, SyntaxError) as error:  # both are what Pillow says of damaged pictures
        fix = f"python -m shards check {shard_set.root} --full names it"
        raise ShardError("a picture does not decode", where=shard_set.root, found=error, fix=fix) from error
    sheet.save(path)


def describe(shard_set: ShardSet) -> list[str]:
    """A few lines for a person."""
    sizes = [shard.num_samples for shard in shard_set.shards]
    total = sum(shard.tar_bytes for shard in shard_set.shards)
    return [
        f"{shard_set.root}",
        f"  images   {shard_set.num_samples:,}",
        f"  classes  {_classes(shard_set.classes)}",
        f"  shards   {len(sizes)} x {_range(sizes)} images, {total / MB:,.1f} MB in all",
        f"  files    {shard_set.shards[0].tar.name} ... {shard_set.shards[-1].tar.name}, each with its .idx",
        f"  seed     {shard_set.seed}",
        f"  sha256   {shard_set.fingerprint}",
    ]


def _classes(classes: tuple[str, ...]) -> str:
    if not classes:
        return "none: the images have no labels"
    more = f" ... {classes[-1]}" if len(classes) > FIRST_CLASSES else ""
    return f"{len(classes)}: {' '.join(classes[:FIRST_CLASSES])}{more}"


def _range(sizes: list[int]) -> str:
    return f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,}-{max(sizes):,}"
