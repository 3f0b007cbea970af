"""`python -m shards demo`: a labelled set drawn on the spot."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from shards.building.build import build, write_indices
from shards.building.crew import local_crew
from shards.building.job import BuildOptions, plan_build
from shards.commands.common import Subparsers, add_command, add_workers, positive, say, summary
from shards.demo.source import DrawnPictures
from shards.remote.store import FolderStore
from shards.sources.tar_splits import TRAIN, VALIDATION
from shards.tars.manifest import Manifest

EXAMPLES = """\
  python -m shards demo data/demo
  python -m shards demo data/big --train 20000 --validation 2000
"""
NUM_TRAIN = 2400
NUM_VALIDATION = 600


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(
        subparsers, "demo", "Draw a labelled picture set and write it as shards; downloads nothing.", examples=EXAMPLES
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="gets the folders train and validation")
    parser.add_argument(
        "--train", type=positive, default=NUM_TRAIN, metavar="N", help=f"pictures (default {NUM_TRAIN})"
    )
    parser.add_argument(
        "--validation", type=positive, default=NUM_VALIDATION, metavar="N", help=f"pictures (default {NUM_VALIDATION})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawing and the shuffle (default 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace another shard set in OUT")
    add_workers(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw both splits."""
    manifests, root = dict[str, Manifest](), FolderStore(folder=args.out)
    with local_crew(args.workers) as crew:
        for stream, (split, num_pictures) in enumerate(((TRAIN, args.train), (VALIDATION, args.validation))):
            source = DrawnPictures(num_pictures=num_pictures, seed=args.seed, stream=stream)
            job = plan_build(source, BuildOptions(name="demo", seed=args.seed, overwrite=args.overwrite))
            out = root.below(split)
            manifests[split], was_written = build(job, out, replace(crew, title=f"drawing {split}"))
            say(f"{'drawn' if was_written else 'already complete'}: {out.place()}: {summary(manifests[split])}")
    write_indices(root, manifests)
    return 0
