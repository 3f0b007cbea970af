"""`python -m shards build`: pictures to shards."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

from shards.building.build import build, write_indices
from shards.building.crew import Crew, dask_crew, local_crew
from shards.building.events import ERRORS_NAME, PictureEvent, read_errors, summary_lines
from shards.building.job import BuildOptions, Job, plan_splits
from shards.building.judge import Judge
from shards.building.plan import DEFAULT_SHARD_MIB, Cut
from shards.building.policy import DEFAULTS, allowed_actions, parse_policy
from shards.commands.common import (
    LABEL_FIELD_HELP,
    MB,
    Subparsers,
    above_zero,
    add_command,
    add_workers,
    positive,
    say,
    summary,
    warn,
)
from shards.errors import ShardError
from shards.host.progress import Amount, Progress
from shards.pictures.inspect import DEFAULT_MAX_PIXELS
from shards.pictures.resize import Resize
from shards.pictures.troubles import EXPLANATIONS, Trouble
from shards.remote.store import Store, is_url, store_at
from shards.sources.base import Source
from shards.sources.ilsvrc import archives_of, expectation_lines, is_known, unknown_lines, verify
from shards.sources.layouts import Choice
from shards.sources.recognise import recognise
from shards.sources.tar_samples import parse_label_field
from shards.tars.manifest import Manifest

EXAMPLES = """\
  python -m shards build pets/ data/pets           class folders; pets/train + pets/val give data/pets/train, validation
  python -m shards build photos/ data/photos       a flat folder without labels
  python -m shards build pets/ data/pets --seed 7 --shard-mib 64 --workers 8
  python -m shards build pets/ data/pets --dask tcp://head:8786      workers that see both folders
  python -m shards build pets/ data/pets --shard-multiple 8          as many shards for each of 8 processes
  python -m shards build imagenet/ data/imagenet --verify-archives   the folder with the archives as downloaded
  python -m shards build pets/ s3://bucket/pets --scratch /fast      each shard is sent when it is written
  python -m shards build pets/ data/pets --on cmyk=keep --on rotated=bake --on duplicate=quarantine
"""
KINDS = """\
what SRC may be; it is recognised and said:
  URL                          s3://bucket/folder with pictures, or class folders of them
  class folders                a folder per class, ImageFolder's order; train and val folders of them make two splits
  flat folder                  pictures without labels
  ILSVRC2012_img_train.tar     a tar of class tars, read in place; or the folder with the train, val and devkit archives
  folder of class tars         n01440764.tar, n01443537.tar, ...: that archive unpacked once; read in place
  ILSVRC2012_img_val.tar       with --labels ILSVRC2012_devkit_t12.tar.gz, or a list of classes
  parquet files                of Hugging Face, one split or several
  save_to_disk folder          of Hugging Face, one split or several
  WebDataset tars              a folder of them, to shuffle and cut anew; `index` serves them as they are
"""
TROUBLES = "troubles, the default action and what else is allowed:\n" + "\n".join(
    f"  {trouble:<13} {DEFAULTS[trouble]:<10} ({'|'.join(allowed_actions(trouble))}) {EXPLANATIONS[trouble]}"
    for trouble in Trouble
)
DROPPED_EXIT_CODE = 3
DEFAULT_QUALITY = 92


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(
        subparsers, "build", "Turn pictures into WebDataset shards with DALI indices.", examples=EXAMPLES
    )
    parser.add_argument("src", metavar="SRC", help="pictures; the kinds are listed below")
    parser.add_argument("out", metavar="OUT", help="folder or URL for the shards; a split gets a folder in it")
    labels = "devkit archive or class list for a flat tar, such as ILSVRC2012_img_val.tar"
    parser.add_argument("--labels", type=Path, metavar="FILE", help=labels)
    layout = "folders below SRC: classes, or flat for pictures without labels (default auto: by their names)"
    parser.add_argument("--layout", choices=("auto", "classes", "flat"), default="auto", help=layout)
    parser.add_argument("--include", metavar="GLOB", help="only tars or parquet files whose names fit this pattern")
    parser.add_argument("--label-field", metavar="FIELD", help=LABEL_FIELD_HELP)
    archives = "compare ILSVRC2012 archives with their published md5 before anything else"
    parser.add_argument("--verify-archives", action="store_true", help=archives)
    add_build_flags(parser)
    add_workers(parser)
    scratch = "where the shards in hand lie when OUT is a URL (default $TMPDIR, or else the working directory)"
    parser.add_argument("--scratch", type=Path, metavar="DIR", help=scratch)
    parser.add_argument("--dask", metavar="ADDRESS", help="hand the work to this Dask scheduler instead")
    parser.epilog = f"{parser.epilog}\n{KINDS}\n{TROUBLES}"
    parser.set_defaults(run=run)


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that decide what the shards look like."""
    add = parser.add_argument
    add("--seed", type=int, default=0, help="of the global shuffle (default 0)")
    add("--name", default="shard", help="first part of the file names (default shard)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--shard-mib", type=above_zero, default=DEFAULT_SHARD_MIB, metavar="MIB", help=f"default {DEFAULT_SHARD_MIB}"
    )
    size.add_argument("--num-shards", type=positive, metavar="N", help="exactly so many per split, instead of a size")
    multiple = "a number of shards that so many processes share evenly, such as the world size"
    add("--shard-multiple", type=positive, default=1, metavar="N", help=multiple)
    add("--sequential", action="store_true", help="read SRC in its own order, for spinning disks; same output")
    add("--overwrite", action="store_true", help="replace another shard set in OUT")
    add("--dry-run", action="store_true", help="say the plan and write nothing")
    add("--on", action="append", default=[], metavar="TROUBLE=ACTION", help="what to do about a trouble; see below")
    add("--allow-drops", action="store_true", help="exit with 0 although pictures were left out, not with 3")
    add(
        "--max-pixels",
        type=above_zero,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="beyond this: too-large (default 1e8)",
    )
    add("--no-decode", action="store_true", help="read headers only; damage inside pictures goes unseen")
    add("--short-side", type=positive, metavar="PIXELS", help="shrink larger pictures to this, as JPEG: lossy")
    add("--quality", type=positive, metavar="Q", help=f"of --short-side's JPEGs (default {DEFAULT_QUALITY})")


def options_of(args: argparse.Namespace) -> BuildOptions:
    """The options that the flags spell. Raises `ShardError` for values that make no sense."""
    judge = Judge(
        policy=parse_policy(args.on),
        max_pixels=int(args.max_pixels),
        decode=not args.no_decode,
        resize=_resize_of(args.short_side, args.quality),
    )
    return BuildOptions(
        name=args.name,
        seed=args.seed,
        cut=Cut(shard_mib=args.shard_mib, num_shards=args.num_shards, multiple=args.shard_multiple),
        judge=judge,
        sequential=args.sequential,
        overwrite=args.overwrite,
    )


def _resize_of(short_side: int | None, quality: int | None) -> Resize | None:
    if short_side is None:
        if quality is not None:
            fix = "add --short-side PIXELS"
            raise ShardError("pictures are only encoded again when they are shrunk", where="--quality", fix=fix)
        return None
    return Resize(short_side=short_side, quality=DEFAULT_QUALITY if quality is None else quality)


def choice_of(args: argparse.Namespace) -> Choice:
    """What the flags decide about SRC."""
    field = None if args.label_field is None else parse_label_field(args.label_field)
    return Choice(layout=args.layout, include=args.include, label_field=field)


def run(args: argparse.Namespace) -> int:
    """Build every split found in SRC; returns 3 when pictures were left out and that was not allowed."""
    options = options_of(args)
    out = store_at(args.out)
    if args.scratch and out.folder:
        found = f"OUT is {args.out}"
        raise ShardError("only a build at a URL needs scratch space", where="--scratch", found=found)
    sources = recognise(args.src, labels=args.labels, choice=choice_of(args), note=warn)
    check_apart(args.src, args.out)
    if args.verify_archives:
        verify_archives(list(sources.values()))
    if args.dry_run:
        plan(sources, options)
        return 0
    with crew_of(args) as crew:  # before the scan, during which the workers get ready
        jobs = plan(sources, options)
        manifests = {split: build_split(job, out.below(split), crew, args.scratch) for split, job in jobs.items()}
    write_indices(out, manifests)
    dropped = sum(manifest.num_dropped for manifest in manifests.values())
    if dropped and not args.allow_drops:
        warn(f"{dropped:,} pictures were left out; --allow-drops accepts that")
        return DROPPED_EXIT_CODE
    return 0


def check_apart(src: str, out: str) -> None:
    """Raise `ShardError` when OUT lies where SRC is read.

    Tars could take the place of tars still to be read, and the next run would find shards among the pictures.
    """
    if is_url(src) or is_url(out):
        is_inside = f"{out.rstrip('/')}/".startswith(f"{src.rstrip('/')}/")
    else:
        source, target = Path(src).resolve(), Path(out).resolve()
        is_shard = source.parent == target and re.fullmatch(r".+-\d{6}\.tar", source.name)
        is_inside = bool(is_shard) or (source.is_dir() and target.is_relative_to(source))
    if is_inside:
        raise ShardError("OUT lies where SRC is read", where=out, found=f"SRC {src}", fix="choose a folder beside it")


def verify_archives(sources: list[Source]) -> None:
    """Say of every archive whether it is as published or was not checked. Raises `ShardError` when one differs."""
    archives = [archive for source in sources for archive in archives_of(source)]
    if not archives:
        say(f"nothing to verify: no archives in {' and '.join(source.description for source in sources)}")
    for line in unknown_lines(archives):
        say(line)
    for archive in filter(is_known, archives):
        with Progress(f"md5 of {archive.name}", Amount(archive.stat().st_size)) as progress:
            verify(archive, on_bytes=progress.add)
        say(f"verified: {archive}: md5 is the published one")


def plan(sources: dict[str, Source], options: BuildOptions) -> dict[str, Job]:
    """Scan and plan all splits, and say what was found; what one split refuses is found before any is written."""
    for split, source in sources.items():
        say(f"source{f' of {split}' if split else ''}: {source.description}")
    jobs = plan_splits(sources, options)
    for split, job in jobs.items():
        say_plan(job, split)
    return jobs


def build_split(job: Job, out: Store, crew: Crew, scratch: Path | None) -> Manifest:
    """Write one split and say what came of it."""
    manifest, was_written = build(job, out, crew, scratch=scratch)
    events = read_errors(out)
    say_result(out, manifest, was_written, events)
    for line in expectation_lines(job.listing, Counter(Trouble(event["trouble"]) for event in events)):
        say(line)
    return manifest


def crew_of(args: argparse.Namespace) -> AbstractContextManager[Crew]:
    """The workers that the flags ask for."""
    return dask_crew(args.dask) if args.dask else local_crew(args.workers)


def say_plan(job: Job, split: str) -> None:
    """The plan and its warnings."""
    for text in job.warnings:
        warn(text)
    line = f"{len(job.listing):,} images into {job.plan.num_shards} shards"
    title = f"plan of {split}" if split else "plan"
    say(f"{title}: {line}, about {job.plan.estimated_bytes / MB:,.1f} MB, seed {job.options.seed}")


def say_result(out: Store, manifest: Manifest, was_written: bool, events: list[PictureEvent]) -> None:
    """What is there now, what was odd about it, and what a resize cost."""
    say(f"{'written' if was_written else 'already complete'}: {out.place()}: {summary(manifest)}")
    for line in summary_lines(events):
        say(line)
    if events:
        say(f"each of them: {out.place(ERRORS_NAME)}")
    pictures = manifest.build["pictures"]
    if "short_side" in manifest.build["checks"]:
        before, after = pictures["bytes_in"] / MB, pictures["bytes_out"] / MB
        say(f"resized, with loss: {before:,.1f} MB of pictures became {after:,.1f} MB")
