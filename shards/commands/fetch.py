"""`python -m shards fetch`: a data set of WebDataset tars from the Hugging Face hub, ready to train on."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.building.fetch import fetch, index, plan_fetch
from shards.commands.common import Subparsers, add_command, add_workers, positive, say
from shards.commands.index import add_index_flags, conclude, rules_of
from shards.host.local_pool import local_pool
from shards.host.progress import GB, Amount, Progress
from shards.remote.hub import open_dataset
from shards.sources.tar_splits import TRAIN, VALIDATION

EXAMPLES = """\
  python -m shards fetch hf://datasets/timm/imagenet-1k-wds data/imagenet      data/imagenet/train and /validation
  python -m shards fetch hf://datasets/timm/imagenet-1k-wds data/imagenet --split validation
  python -m shards fetch hf://datasets/timm/imagenet-w21-webp-wds data/w21 --include '*-00??.tar' --revision main

Run again, it goes on where it stopped. Files are compared with the hub's checksums. A set whose owner asks for it wants
its terms accepted on its page first and a token here: hf auth login, or the variable HF_TOKEN. HF_ENDPOINT names
another hub. Sets of WebP are read as they are; DALI decodes WebP on the CPU.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    text = "Fetch a data set of WebDataset tars from the Hugging Face hub and index its splits."
    parser = add_command(subparsers, "fetch", text, examples=EXAMPLES)
    parser.add_argument("place", metavar="hf://datasets/OWNER/NAME", help="a data set of the hub")
    parser.add_argument("dir", type=Path, metavar="DIR", help="gets a folder for each split")
    parser.add_argument("--split", action="append", default=[], metavar="NAME", help="only this split; may be repeated")
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit (default: the newest)")
    parser.add_argument("--dry-run", action="store_true", help="say the plan and fetch nothing")
    parser.add_argument("--threads", type=positive, default=4, metavar="N", help="files at a time (default 4)")
    add_index_flags(parser)
    add_workers(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch and index; returns 3 when samples were left out and that was not allowed."""
    rules, dataset = rules_of(args), open_dataset(args.place, revision=args.revision)
    plan = plan_fetch(dataset, args.dir, include=args.include, wanted=tuple(args.split))
    for split, pairs in plan.splits.items():
        size = sum(file.size for file, _ in pairs) / GB
        say(f"plan: {args.dir / split}: {len(pairs):,} tars, {size:,.2f} GB, of commit {dataset.commit[:12]}")
    if args.dry_run:
        return 0
    with Progress("fetch", Amount(plan.num_bytes)) as progress:
        num_fetched = fetch(plan, threads=args.threads, on_bytes=progress.add)
    say(f"fetched: {num_fetched:,} tars, the others were there")
    with local_pool(args.workers) as executor:
        indexed = index(plan, executor, rules)
    code = conclude(indexed, allow_drops=args.allow_drops)
    if TRAIN in plan.splits:
        held_out = args.dir / VALIDATION if VALIDATION in plan.splits else "none"
        say(f"train on it: python train.py --data.train {args.dir / TRAIN} --data.validation {held_out}")
    return code
