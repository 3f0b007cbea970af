"""`python -m pipelines bench`: how fast shards become batches on this machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from pipelines.config import Augmentation, LoaderOptions, Precision
from pipelines.recipes import CROPS_HELP, parse_crops
from shards.commands.common import Subparsers, add_command, note, positive, say
from shards.tars.shardset import ShardSet, load_shard_set

EXAMPLES = """\
  python -m pipelines bench data/imagenet/train
  python -m pipelines bench data/pets/train --crops 2x160+4x96 --threads 1 2 4 --json bench.json
  python -m pipelines bench data/pets/train --no-peers --seconds 2 --gpu-rate 1200
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Time reading, decoding, crops and the whole, beside torchvision and webdataset, in turns."
    parser = add_command(subparsers, "bench", summary, examples=EXAMPLES)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="a shard set; it is only read")
    parser.add_argument("--crops", default="2x224+6x96", metavar="CROPS", help=CROPS_HELP)
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="images per batch (default 64)")
    parser.add_argument(
        "--threads", type=positive, nargs="+", default=[cores], metavar="N", help=f"CPU threads (default {cores})"
    )
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="turns of each contestant (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn (default 4)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where batches are wanted")
    parser.add_argument("--no-mmap", action="store_true", help="read tars without mapping them, for network storage")
    parser.add_argument("--no-peers", action="store_true", help="leave torchvision and webdataset out")
    parser.add_argument("--gpu-rate", type=float, default=400.0, help="images/s that one GPU trains (default 400)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    crops, shards = parse_crops(args.crops), load_shard_set(args.shards)

    from pipelines.bench import report
    from pipelines.bench.crop_traffic import traffic_sentence
    from pipelines.bench.lineup import Setting, line_up
    from shards.harness.makers import measure

    device = _device(args.device)
    pixels: Precision = "bfloat16" if device.type == "cuda" else "float32"  # as in training
    setting = Setting(
        shards=shards,
        crops=crops,
        augment=Augmentation(),
        batch_size=args.batch_size,
        device=device,
        options=LoaderOptions(use_mmap=not args.no_mmap, precision=pixels),
        bytes_per_image=bytes_per_image(shards),
    )
    entries = [entry for n in args.threads for entry in line_up(setting, threads=n, peers=not args.no_peers)]
    timings = measure(entries, rounds=args.rounds, seconds=args.seconds, say=note)
    for line in report.table(timings):
        say(line)
    if setting.device.type == "cpu":
        for threads in args.threads:
            say(report.parts(timings, threads))
    say(traffic_sentence(crops, setting.augment, batch_size=args.batch_size))
    say(report.sentence(timings, gpu_rate=args.gpu_rate))
    if setting.device.type == "cuda":
        say(report.choice(timings, gpu_rate=args.gpu_rate))
    if args.json:
        report.write_record(args.json, timings, setting=vars(args))
    return 0


def bytes_per_image(shards: ShardSet) -> float:
    """Mean size of an encoded picture in bytes, from the indices."""
    from shards.tars.index import parse_index

    sizes = [
        member.size
        for shard in shards.shards
        for sample in parse_index(shard.idx.read_bytes(), where=shard.idx)
        for member in sample
        if member.suffix != "cls"
    ]
    return sum(sizes) / len(sizes)


def _device(name: str) -> Any:
    import torch

    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
