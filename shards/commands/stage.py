"""`python -m shards stage` and `publish`: a finished set from a URL to a disk, and the other way."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.commands.common import Subparsers, add_command, positive, say
from shards.host.progress import NOTHING, Amount, Progress
from shards.remote.copies import download, finished_set, upload
from shards.remote.store import store_at
from shards.tars.manifest import Manifest

STAGE_EXAMPLES = """\
  python -m shards stage s3://bucket/pets/train /local/pets/train
  python -m shards stage s3://bucket/pets/train data/pets/train --without-tars    DALI then reads the tars at the URL
"""
PUBLISH_EXAMPLES = """\
  python -m shards publish data/pets/train s3://bucket/pets/train
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare both commands."""
    text = "Copy a shard set from a URL, with checksums; run again, it goes on where it was."
    stage = add_command(subparsers, "stage", text, examples=STAGE_EXAMPLES)
    stage.add_argument("url", metavar="URL", help="of one split: s3://bucket/folder or a path")
    stage.add_argument("dir", type=Path, metavar="DIR", help="created when missing")
    stage.add_argument("--without-tars", action="store_true", help="only the manifest and the indices")
    _add_threads(stage)
    stage.set_defaults(run=run_stage)
    publish = add_command(subparsers, "publish", "Copy a shard set to a URL.", examples=PUBLISH_EXAMPLES)
    publish.add_argument("dir", type=Path, metavar="DIR", help="a finished split")
    publish.add_argument("url", metavar="URL", help="s3://bucket/folder or a path")
    _add_threads(publish)
    publish.set_defaults(run=run_publish)


def run_stage(args: argparse.Namespace) -> int:
    """Copy from the URL."""
    source = store_at(args.url)
    with_tars, manifest = not args.without_tars, finished_set(source)
    with Progress("stage", _amount(manifest) if with_tars else NOTHING) as progress:
        num_files = download(source, args.dir, with_tars=with_tars, threads=args.threads, on_bytes=progress.add)
    say(f"staged: {args.dir}: {num_files} files fetched, the others were there")
    return 0


def run_publish(args: argparse.Namespace) -> int:
    """Copy to the URL."""
    with Progress("publish", _amount(finished_set(store_at(args.dir)))) as progress:
        num_files = upload(args.dir, store_at(args.url), threads=args.threads, on_bytes=progress.add)
    say(f"published: {args.url}: {num_files} files sent, the others were there")
    return 0


def _amount(manifest: Manifest) -> Amount:
    return Amount(sum(shard.tar_bytes for shard in manifest.shards), manifest.num_samples)


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=positive, default=4, metavar="N", help="files at a time (default 4)")
