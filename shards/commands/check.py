"""`python -m shards check`: is a folder of shards sound, and will it train well."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.checking.check import CheckPlan, check, plan_check, steps_line
from shards.checking.check_manifest import check_manifest
from shards.commands.common import Subparsers, add_command, add_workers, positive, say, split_folders, warn
from shards.errors import ShardError
from shards.host.local_pool import local_pool
from shards.host.progress import Amount, Progress
from shards.tars.manifest import MANIFEST_NAME

EXAMPLES = """\
  python -m shards check data/pets                  structure, indices, keys, shuffling
  python -m shards check data/pets --quick          names, sizes and index checksums only
  python -m shards check data/pets --full           also sha256 of every tar and a decode of every picture
  python -m shards check data/pets --world-size 8 --batch-size 64
  python -m shards check someone-elses-tars/        tars of any origin
"""
PROBLEMS_EXIT_CODE = 1


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(
        subparsers, "check", "Check shards against their manifest and their own bytes.", examples=EXAMPLES
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="a shard set, a folder of them, or a folder of tars")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="only what takes no reading of tars")
    depth.add_argument("--full", action="store_true", help="read and decode everything")
    parser.add_argument("--world-size", type=positive, default=1, metavar="N", help="processes to project steps for")
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="images per process and step")
    add_workers(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check every set in DIR; returns 1 when something is wrong."""
    folders = folders_to_check(args.dir)
    num_problems = sum(_check_folder(folder, args) for folder in folders)
    return PROBLEMS_EXIT_CODE if num_problems else 0


def folders_to_check(root: Path) -> list[Path]:
    """The folder itself if it holds a set or tars, otherwise those right below it that do.

    Raises:
        ShardError: there is neither.
    """

    def holds_shards(folder: Path) -> bool:
        return (folder / MANIFEST_NAME).is_file() or any(folder.glob("*.tar"))

    if not root.is_dir():
        raise ShardError("no such folder", where=root, expected="a folder of shards")
    has_own = (root / MANIFEST_NAME).is_file() or split_folders(root) == [root]  # tars beside sets belong to those
    below = [path for path in sorted(root.iterdir()) if holds_shards(path)]
    folders = [root] if has_own and holds_shards(root) else below
    if not folders:
        raise ShardError("no tars to check, here or one folder below", where=root)
    return folders


def _check_folder(folder: Path, args: argparse.Namespace) -> int:
    say(str(folder))
    return _check_quickly(folder, args) if args.quick else _check_tars(plan_check(folder, full=args.full), args)


def _check_quickly(folder: Path, args: argparse.Namespace) -> int:
    found = check_manifest(folder)
    say(f"  {steps_line(found.manifest.num_samples, args.world_size, args.batch_size)}")
    depth = f"names, sizes and index checksums of {len(found.manifest.shards)} shards are those of the manifest"
    return _conclude(list(found.problems), depth)


def _check_tars(plan: CheckPlan, args: argparse.Namespace) -> int:
    total = Amount(sum(task.tar.stat().st_size for task in plan.tasks))
    with local_pool(args.workers) as executor, Progress("check", total) as progress:
        report = check(plan, executor, on_tar=lambda tar: progress.add(tar.stat().st_size))
    num_samples = plan.manifest.manifest.num_samples if plan.manifest else report.num_samples
    for fact in (*report.facts, steps_line(num_samples, args.world_size, args.batch_size)):
        say(f"  {fact}")
    depth = "bytes, checksums and pictures" if args.full else "tar structure, indices and keys"
    return _conclude(report.problems, f"sound: {depth}")


def _conclude(problems: list[str], verdict: str) -> int:
    for problem in problems:
        warn(problem)
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    say(f"  {count}" if problems else f"  {verdict}")
    return len(problems)
