"""`python -m swav_dali features`: the frozen features of a shard set as a file, with the samples' keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shards.commands.build import DROPPED_EXIT_CODE
from shards.commands.common import Subparsers, add_command
from swav_dali.commands.common import PICTURES_HELP, add_images, add_weights, opened_pictures
from swav_dali.errors import ConfigError

if TYPE_CHECKING:
    from swav_dali.evaluate.pictures import Opened

EXAMPLES = """\
  python -m swav_dali features runs/demo data/demo/validation demo.npz
  python -m swav_dali features weights.safetensors photos/ photos.parquet --size 224
"""
SUFFIXES = (".npz", ".safetensors", ".parquet")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(subparsers, "features", "Write frozen features, with keys and labels.", examples=EXAMPLES)
    add_weights(parser)
    parser.add_argument("pictures_in", type=Path, metavar="PICTURES", help=PICTURES_HELP)
    parser.add_argument("out", type=Path, metavar="OUT", help=f"the file, {' | '.join(SUFFIXES)}")
    add_images(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compute and write."""
    if args.out.suffix not in SUFFIXES:
        expected = " ".join(SUFFIXES)
        raise ConfigError("no format for features", where="OUT", found=repr(args.out.suffix), expected=expected)
    with opened_pictures(args) as opened:
        _write(args, opened)
    return DROPPED_EXIT_CODE if opened.num_dropped else 0


def _write(args: argparse.Namespace, opened: Opened) -> None:
    from swav_dali.evaluate.feature_files import write_features
    from swav_dali.evaluate.session import open_session

    sizes = {"batch_size": args.batch_size, "resize": args.resize, "size": args.size, "threads": args.threads}
    with open_session(args.weights, device=args.device, **sizes) as session:
        bank = session.features(opened.shards, gathered=True)
        if session.world.is_main:
            write_features(args.out, bank, opened.keys)
            widths = ", ".join(f"{name} {rows.shape[1]}" for name, rows in bank.features.items())
            print(f"written: {args.out}: {len(bank)} images, {widths}")
