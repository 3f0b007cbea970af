"""`python -m swav_dali evaluate`: what frozen features are worth, by linear heads, neighbours or fine-tuning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shards.commands.common import Subparsers, add_command, positive
from shards.tars.shardset import load_shard_set
from swav_dali.commands.common import add_images, add_splits, add_weights, labelled_pair, split_folder

EXAMPLES = """\
  python -m swav_dali evaluate linear runs/demo
  python -m swav_dali evaluate knn runs/demo --neighbours 10 20
  python -m swav_dali evaluate linear swav_800ep_pretrain.pth.tar --train data/imagenet/train \\
      --validation data/imagenet/validation
  torchrun --nproc-per-node 8 -m swav_dali evaluate linear runs/imagenet --batch-size 256
"""
_KNN_TEMPERATURE = 0.07


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command and its protocols."""
    parser = add_command(subparsers, "evaluate", "Say what a network's frozen features are worth.", examples=EXAMPLES)
    protocols: Any = parser.add_subparsers(required=True, metavar="PROTOCOL")
    linear = add_command(protocols, "linear", "Linear heads, a grid of learning rates at once.", examples=EXAMPLES)
    linear.add_argument("--epochs", type=positive, default=100, metavar="N", help="passes over the features (100)")
    knn = add_command(protocols, "knn", "A weighted vote of the nearest training images.", examples=EXAMPLES)
    knn.add_argument(
        "--neighbours", type=positive, nargs="+", default=[10, 20, 100, 200], metavar="K", help="voters (10 20 100 200)"
    )
    for protocol, run in ((linear, run_linear), (knn, run_knn)):
        add_weights(protocol)
        add_splits(protocol)
        add_images(protocol)
        protocol.add_argument("--json", type=Path, metavar="FILE", help="where the result goes (beside the weights)")
        protocol.set_defaults(run=run)


def run_linear(args: argparse.Namespace) -> int:
    """Compute features once, train every head on them, report all and the best."""
    from swav_dali.evaluate.linear import LinearOptions
    from swav_dali.evaluate.protocols import linear

    return _evaluate(args, lambda *sets: linear(*sets, options=LinearOptions(epochs=args.epochs)))


def run_knn(args: argparse.Namespace) -> int:
    """Let the nearest training images vote on every validation image."""
    from swav_dali.evaluate.protocols import knn

    return _evaluate(args, lambda *sets: knn(*sets, neighbours=args.neighbours, temperature=_KNN_TEMPERATURE))


def _evaluate(args: argparse.Namespace, protocol: Any) -> int:
    from swav_dali.evaluate.results import result_of, write_result
    from swav_dali.evaluate.session import open_session

    sizes = {"batch_size": args.batch_size, "resize": args.resize, "size": args.size, "threads": args.threads}
    with open_session(args.weights, device=args.device, **sizes) as session:
        weights = session.network.weights
        sets = {
            name: load_shard_set(split_folder(getattr(args, name), name, weights.config))
            for name in ("train", "validation")
        }
        num_classes = labelled_pair(sets["train"], sets["validation"])
        outcome = protocol(session, sets["train"], sets["validation"], num_classes)
        if session.world.is_main:
            result = result_of(outcome.protocol, outcome.figures, weights=weights, data=sets)
            path = write_result(result, weights, args.json)
            print("\n".join([f"{weights.name}, {args.weights}", *outcome.lines, f"  result         {path}"]))
    return 0
