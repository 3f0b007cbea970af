"""`python -m shards stage` and `publish`: a finished set from a URL to a disk, and the other way."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path

from shards.commands.common import Subparsers, add_command, positive, say
from shards.commands.os_errors import say_os_errors
from shards.errors import ShardError
from shards.host.progress import Display, State, open_display
from shards.remote.places import RemoteFolder
from shards.remote.transfer import download, read_remote_manifest, upload
from shards.tars.manifest import MANIFEST_NAME, Manifest, read_manifest

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
    stage.set_defaults(run=say_os_errors(run_stage))
    publish = add_command(subparsers, "publish", "Copy a shard set to a URL.", examples=PUBLISH_EXAMPLES)
    publish.add_argument("dir", type=Path, metavar="DIR", help="a finished split")
    publish.add_argument("url", metavar="URL", help="s3://bucket/folder or a path")
    _add_threads(publish)
    publish.set_defaults(run=say_os_errors(run_publish))


def run_stage(args: argparse.Namespace) -> int:
    """Copy from the URL."""
    source = RemoteFolder(url=args.url)
    manifest = read_remote_manifest(source)
    with open_display("stage") as display:
        on_bytes = _counter(display, manifest)
        num_files = download(source, args.dir, with_tars=not args.without_tars, threads=args.threads, on_bytes=on_bytes)
    say(f"staged: {args.dir}: {num_files} files fetched, the others were there")
    return 0


def run_publish(args: argparse.Namespace) -> int:
    """Copy to the URL."""
    if (manifest := read_manifest(args.dir)) is None:
        raise ShardError(f"no {MANIFEST_NAME}", where=args.dir, expected="a finished shard set, one split of it")
    with open_display("publish") as display:
        on_bytes = _counter(display, manifest)
        num_files = upload(args.dir, RemoteFolder(url=args.url), threads=args.threads, on_bytes=on_bytes)
    say(f"published: {args.url}: {num_files} files sent, the others were there")
    return 0


def _counter(display: Display, manifest: Manifest) -> Callable[[int], None]:
    """Adds bytes up, from several threads, and shows them."""
    total, done, lock = sum(shard.tar_bytes for shard in manifest.shards), [0], threading.Lock()

    def on_bytes(num_bytes: int) -> None:
        with lock:
            done[0] += num_bytes
            samples = min(done[0] / total, 1) * manifest.num_samples
            display.show(
                State(num_samples=manifest.num_samples, num_bytes=total, samples_done=samples, bytes_done=done[0])
            )

    return on_bytes


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=positive, default=4, metavar="N", help="files at a time (default 4)")
