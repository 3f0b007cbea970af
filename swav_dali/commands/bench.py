"""`python -m swav_dali bench`: what a training step costs beside the published loop, on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.config import CropGroup
from pipelines.recipes import CROPS_HELP, parse_crops
from shards.commands.common import Subparsers, add_command, note, positive, say
from swav_dali.config.checks import at_least
from swav_dali.config.checks import positive as above_zero

if TYPE_CHECKING:
    from swav_dali.bench.lineup import Setting

EXAMPLES = """\
  python -m swav_dali bench head                                  codes, loss and gradient
  python -m swav_dali bench head --queue 0 --compile --json head.json
  python -m swav_dali bench optimizer --arch resnet50
  python -m swav_dali bench step --arch resnet18 --crops 2x64+4x32 --batch-size 16
  python -m swav_dali bench watch --arch tiny --crops 2x64+4x32   what timers, health figures and records cost
  python -m swav_dali bench comm --step-ms 46 --net-gb 25         collectives of a step, and 8 to 512 GPUs by a model"""

_LINKS = {
    "--gpus-per-node": ("ranks that share a node", 8),
    "--node-gb": ("GB/s of a rank to the others of its node", 300.0),
    "--net-gb": ("GB/s of a rank to other nodes", 40.0),
    "--node-us": ("microseconds of a collective's step inside a node", 3.0),
    "--net-us": ("microseconds of one between nodes", 10.0),
    "--step-ms": ("milliseconds of a step without collectives", 46.0),
}
_SIZES = (8, 16, 32, 64, 128, 256, 512)


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Time the head, the optimizer or a step beside the published loop, or watching; count collectives."
    parser = add_command(subparsers, "bench", summary, examples=EXAMPLES)
    what = ("head", "optimizer", "step", "watch", "comm")
    parser.add_argument("what", choices=what, help="what to time or count")
    parser.add_argument("--arch", default="resnet50", help="trunk of optimizer and step (default resnet50)")
    parser.add_argument("--crops", default="2x224+6x96", metavar="CROPS", help=CROPS_HELP)
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="pictures of a step (default 64)")
    parser.add_argument("--prototypes", type=positive, default=3000, metavar="K", help="prototypes (default 3000)")
    parser.add_argument(
        "--queue", type=int, default=960, metavar="ROWS", help="queued per crop, 0 is off (default 960)"
    )
    parser.add_argument("--epsilon", type=float, default=0.05, help="of the codes (default 0.05)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="CPU threads (default 1)")
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="turns of each (default 7)")
    parser.add_argument("--repeats", type=positive, default=3, metavar="N", help="steps of a turn (default 3)")
    parser.add_argument(
        "--pairs",
        type=positive,
        default=200,
        metavar="N",
        help="watch: pairs of steps, one of them watched (default 200)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (default cpu)")
    parser.add_argument("--compile", action="store_true", help="also time our head through torch.compile")
    parser.add_argument("--ranks", type=positive, default=2, metavar="N", help="comm: gloo processes (default 2)")
    for flag, (meaning, default) in _LINKS.items():
        kind = positive if isinstance(default, int) else float
        parser.add_argument(
            flag, type=kind, default=default, metavar="X", help=f"comm: {meaning} (default {default:g})"
        )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    crops = parse_crops(args.crops)
    for flag in ("--epsilon", *_LINKS):
        above_zero(flag, getattr(args, flag.removeprefix("--").replace("-", "_")))
    at_least("--queue", args.queue, 0)

    if args.what == "comm":
        return _comm(args, crops)

    import torch

    from shards.harness.turns import take_turns
    from swav_dali.bench import lineup, report

    torch.set_num_threads(args.threads)
    setting = lineup.Setting(
        arch=args.arch,
        crops=crops,
        batch_size=args.batch_size,
        num_prototypes=args.prototypes,
        queue=args.queue // args.batch_size * args.batch_size,
        epsilon=args.epsilon,
        repeats=args.repeats,
        device=torch.device(args.device),
        with_compiled=args.compile,
    )
    if args.what == "watch":
        return _watch(args, setting)
    line_up = {"head": lineup.head, "optimizer": lineup.optimizer, "step": lineup.step}[args.what]
    timings = take_turns(line_up(setting), rounds=args.rounds, say=note)
    for line in report.table(timings):
        say(line)
    say(report.sentence(timings))
    if args.json:
        report.write_record(args.json, timings, setting=vars(args))
    return 0


def _comm(args: argparse.Namespace, crops: Sequence[CropGroup]) -> int:
    """Count a step's collectives and say what they would cost on more GPUs."""
    at_least("--ranks", args.ranks, 2)

    from swav_dali.bench.comm import counted_step, sync_batch_norm
    from swav_dali.bench.scaling import Links, table

    traffics = counted_step(args.arch, args.prototypes, crops, ranks=args.ranks)
    synced = [sync_batch_norm(args.arch, len(crops), within_node=within) for within in (True, False)]
    say(f"counted on {args.ranks} gloo processes, {args.arch}, {args.prototypes} prototypes; SyncBatchNorm by layers:")
    for each in [*traffics, synced[1]]:
        say(f"  {each.name:<24} {each.calls:>4} calls of {each.num_bytes / 1024:10.1f} KiB")
    links = Links(**{name: getattr(args, name) for name in Links.__slots__})
    say(
        f"projected, not measured: {args.step_ms:g} ms a step; {links.gpus_per_node} GPUs a node, "
        f"{links.node_gb:g} GB/s and {links.node_us:g} us inside, {links.net_gb:g} GB/s and {links.net_us:g} us "
        "between nodes; the faster of ring and tree; what backward hides is not waited for"
    )
    for of_norm in synced:
        say(f"with {of_norm.name}:")
        for line in table([*traffics, of_norm], links, step_ms=args.step_ms, sizes=_SIZES):
            say(line)
    if args.json:
        record = {"counted": [asdict(each) for each in [*traffics, *synced]], "links": asdict(links)}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def _watch(args: argparse.Namespace, setting: Setting) -> int:
    import tempfile

    from shards.harness.turns import take_turns
    from swav_dali.bench import watching

    with tempfile.TemporaryDirectory() as folder:
        timings = take_turns(watching.watching(setting, Path(folder)), rounds=args.rounds, say=note)
        note(f"{args.pairs} pairs of steps")
        pairs = watching.time_pairs(setting, Path(folder), pairs=args.pairs)
    for line in watching.table(timings):
        say(line)
    say(watching.sentence(timings, pairs))
    if args.json:
        watching.write_record(args.json, timings, pairs, setting=vars(args))
    return 0
