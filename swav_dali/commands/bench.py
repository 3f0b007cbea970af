"""`python -m swav_dali bench`: what a training step costs beside the published loop, on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.recipes import CROPS_HELP, parse_crops
from shards.commands.common import Subparsers, add_command, note, positive, say
from swav_dali.config.checks import at_least
from swav_dali.config.checks import positive as above_zero

EXAMPLES = """\
  python -m swav_dali bench head                                  codes, loss and gradient
  python -m swav_dali bench head --queue 0 --compile --json head.json
  python -m swav_dali bench optimizer --arch resnet50
  python -m swav_dali bench step --arch resnet18 --crops 2x64+4x32 --batch-size 16"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Time the head, the optimizer or a whole step beside the published loop, in turns."
    parser = add_command(subparsers, "bench", summary, examples=EXAMPLES)
    parser.add_argument("what", choices=("head", "optimizer", "step"), help="what to time")
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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (default cpu)")
    parser.add_argument("--compile", action="store_true", help="also time our head through torch.compile")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    crops = parse_crops(args.crops)
    above_zero("--epsilon", args.epsilon)
    at_least("--queue", args.queue, 0)

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
    line_up = {"head": lineup.head, "optimizer": lineup.optimizer, "step": lineup.step}[args.what]
    timings = take_turns(line_up(setting), rounds=args.rounds, say=note)
    for line in report.table(timings):
        say(line)
    say(report.sentence(timings))
    if args.json:
        report.write_record(args.json, timings, setting=vars(args))
    return 0
