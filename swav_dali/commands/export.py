"""`python -m swav_dali export`: weights for other libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.commands.common import Subparsers, add_command
from swav_dali.commands.common import add_weights

EXAMPLES = """\
  python -m swav_dali export runs/imagenet --to torchvision resnet50.pth
  python -m swav_dali export runs/imagenet --to timm my-model      then timm.create_model("local-dir:my-model")
  python -m swav_dali export swav_800ep_pretrain.pth.tar --to onnx swav.onnx
"""
FORMS = ("torchvision", "timm", "reference", "safetensors", "onnx")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(subparsers, "export", "Write weights in a form others read.", examples=EXAMPLES)
    add_weights(parser)
    parser.add_argument("--to", choices=FORMS, required=True, help="the form; timm's is a folder, all others a file")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file or folder to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, convert, write, and say how it is opened."""
    from swav_dali.exchange.export import export
    from swav_dali.exchange.network import network_of
    from swav_dali.exchange.weights import read_weights

    network = network_of(read_weights(args.weights))
    files = export(network, args.to, args.out)
    total = sum(file.stat().st_size for file in files) / 1e6
    print(f"written: {', '.join(str(file) for file in files)} ({total:.1f} MB), {network.arch}")
    return 0
