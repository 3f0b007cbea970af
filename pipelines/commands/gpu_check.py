"""`python -m pipelines gpu-check`: everything that only a machine with a GPU can show, in one JSON file."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pipelines.errors import PipelineError
from shards.commands.common import Subparsers, add_command, say

EXAMPLES = """\
  python -m pipelines gpu-check data/imagenet/train
  python -m pipelines gpu-check data/demo/train --json gpu.json
"""
_DEVICES = ("cuda", "cpu")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Run the gpu tests of the checkout, then the bench on the GPU and on the CPU."
    parser = add_command(subparsers, "gpu-check", summary, examples=EXAMPLES)
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="a shard set for the bench")
    parser.add_argument(
        "--json", type=Path, default=Path("gpu-check.json"), metavar="PATH", help="the result (default gpu-check.json)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Test, measure, write; returns 1 if a test failed."""
    device = _device_name()
    say(f"gpu-check on {device}")
    tests = _run_tests()
    failed = [name for name, outcome in tests.items() if outcome == "failed"]
    say(f"gpu tests: {len(tests) - len(failed)} passed, {len(failed)} failed")
    benches = {device: _run_bench(args.shards, device) for device in _DEVICES}
    args.json.write_text(json.dumps({"schema": 1, "gpu": device, "tests": tests, "bench": benches}, indent=1) + "\n")
    say(f"written: {args.json}")
    return 1 if failed else 0


def _device_name() -> str:
    import torch

    if not torch.cuda.is_available():
        raise PipelineError("no CUDA device", where="gpu-check", found=f"torch {torch.__version__}, no usable driver")
    return torch.cuda.get_device_name()


def _run_tests() -> dict[str, str]:
    """Outcome of every gpu test by its name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", f"--junit-xml={report}"]
        subprocess.run(command, check=False)
        return {_name(case): _outcome(case) for case in ElementTree.parse(report).iter("testcase")}


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def _outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def _run_bench(shards: Path, device: str) -> Any:
    """The record of `python -m pipelines bench` in a process of its own; the peers run beside the CPU only."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "bench.json"
        peers = [] if device == "cpu" else ["--no-peers"]
        command = [sys.executable, "-m", "pipelines", "bench", str(shards), "--device", device, "--json", str(record)]
        subprocess.run([*command, *peers], check=True)
        return json.loads(record.read_text())
