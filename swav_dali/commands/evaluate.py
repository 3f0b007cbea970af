"""`python -m swav_dali evaluate`: what frozen features are worth, by linear heads, neighbours or fine-tuning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shards.commands.common import Subparsers, above_zero, add_command, positive
from shards.tars.shardset import load_shard_set
from swav_dali.commands.common import add_images, add_splits, add_weights, labelled_pair, split_folder

EXAMPLES = """\
  python -m swav_dali evaluate linear runs/demo
  python -m swav_dali evaluate knn runs/demo --neighbours 10 20
  python -m swav_dali evaluate semisup runs/imagenet --labels 0.01
  python -m swav_dali evaluate linear swav_800ep_pretrain.pth.tar --train data/imagenet/train \\
      --validation data/imagenet/validation
  torchrun --nproc-per-node 8 -m swav_dali evaluate linear runs/imagenet --batch-size 256
"""
_KNN_TEMPERATURE = 0.07
_FEW_LABELS = 0.01


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
    published = "one head on random crops and flips, at --rate: the published protocol, decoding every epoch"
    linear.add_argument("--published", action="store_true", help=published)
    linear.add_argument("--rate", type=above_zero, default=0.3, metavar="LR", help="of --published, for 256 (0.3)")
    semisup = add_command(protocols, "semisup", "Fine-tuning with few labels.", examples=EXAMPLES)
    semisup.add_argument(
        "--labels",
        type=_labels,
        default=0.1,
        metavar="SHARE|FILE",
        help="share of every class, or a list of keys (0.1)",
    )
    semisup.add_argument(
        "--epochs", type=positive, default=20, metavar="N", help="passes over the labelled images (20)"
    )
    rates = "learning rate of the {} (published: {} with 10 %% of the labels, {} with 1 %%)"
    semisup.add_argument("--trunk-rate", type=above_zero, metavar="LR", help=rates.format("trunk", "0.01", "0.02"))
    semisup.add_argument("--head-rate", type=above_zero, metavar="LR", help=rates.format("classifier", "0.2", "5"))
    for protocol, run in ((linear, run_linear), (knn, run_knn), (semisup, run_semisup)):
        add_weights(protocol)
        add_splits(protocol)
        add_images(protocol)
        protocol.add_argument("--json", type=Path, metavar="FILE", help="where the result goes (beside the weights)")
        protocol.set_defaults(run=run)


def run_linear(args: argparse.Namespace) -> int:
    """Compute features once, train every head on them, report all and the best."""
    from swav_dali.evaluate.linear import LinearOptions
    from swav_dali.evaluate.protocols import linear, published_linear

    if args.published:
        return _evaluate(args, lambda *sets: published_linear(*sets, epochs=args.epochs, rate=args.rate))
    return _evaluate(args, lambda *sets: linear(*sets, options=LinearOptions(epochs=args.epochs)))


def run_knn(args: argparse.Namespace) -> int:
    """Let the nearest training images vote on every validation image."""
    from swav_dali.evaluate.protocols import knn

    return _evaluate(args, lambda *sets: knn(*sets, neighbours=args.neighbours, temperature=_KNN_TEMPERATURE))


def run_semisup(args: argparse.Namespace) -> int:
    """Fine-tune the whole network on the labelled part."""
    from swav_dali.evaluate.finetune import FinetuneOptions
    from swav_dali.evaluate.protocols import semisup

    is_few = isinstance(args.labels, float) and args.labels <= _FEW_LABELS
    options = FinetuneOptions(
        epochs=args.epochs,
        batch_size=args.batch_size,
        trunk_rate=args.trunk_rate or (0.02 if is_few else 0.01),
        head_rate=args.head_rate or (5.0 if is_few else 0.2),
        weight_decay=0.0,
    )
    return _evaluate(args, lambda *sets: semisup(*sets, labels=args.labels, options=options))


def _labels(text: str) -> float | Path:
    try:
        share = float(text)
    except ValueError:
        return Path(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"a share of the labels is above 0 and at most 1, not {text}")
    return share


def _evaluate(args: argparse.Namespace, protocol: Any) -> int:
    from swav_dali.evaluate.results import result_of, tell_run, write_result
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
            metrics = tell_run(result, weights, path)
            told = [] if metrics is None else [f"  in the run     {metrics}"]
            print("\n".join([f"{weights.name}, {args.weights}", *outcome.lines, f"  result         {path}", *told]))
    return 0
