"""argv to RunConfig to train: the command line of train.py.

torch and DALI are imported only once the configuration stands, so that help and mistakes answer at once.
"""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import tyro

from swav_dali.config.presets import load_preset, preset_lines
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError, Stopped

_USAGE = """Pretrain with SwAV.

usage: python train.py [PRESET] [--section.option value ...]

presets (none is `demo`):
  {presets}

examples:
  python train.py
  python train.py demo --optim.epochs 5 --name short
  python train.py imagenet_256 --data.train shards/train --data.validation shards/validation
  torchrun --nproc-per-node 8 train.py imagenet_4096 --data.batch-size 512
  python train.py demo --help        every option, its meaning and its value in that preset
"""


def main() -> int:
    """Train as `sys.argv` says; the exit code of train.py, 75 after SIGTERM or SIGUSR1."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(_USAGE.format(presets="\n  ".join(preset_lines())))
        return 0
    config = parse(arguments)
    try:
        with _leaving_while_importing():
            from swav_dali.run.trainer import train

            train(config)
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return Stopped.EXIT_CODE
    return 0


@contextlib.contextmanager
def _leaving_while_importing() -> Iterator[None]:
    """SIGTERM and SIGUSR1 are answered with a line from the first second; `train` takes over once it runs."""

    def leave(number: int, _frame: object) -> NoReturn:
        raise Stopped(f"{signal.Signals(number).name} before the first step: nothing to save")

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, leave)
    try:
        yield
    except Stopped:
        for number in (signal.SIGTERM, signal.SIGUSR1):  # torchrun sends one more on its way out
            signal.signal(number, signal.SIG_IGN)
        raise


def parse(arguments: Sequence[str]) -> RunConfig:
    """The configuration that a command line names; raises ConfigError, or SystemExit after `--help`."""
    has_preset = bool(arguments) and not arguments[0].startswith("-")
    name = arguments[0] if has_preset else "demo"
    options = list(arguments[1:] if has_preset else arguments)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(RunConfig, default=load_preset(name), args=options, prog=f"train.py {name}")
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_one_line(complaint.getvalue()), fix=f"run python train.py {name} --help") from None


def _one_line(box: str) -> str:
    """The words of tyro's framed complaint, without the frame, its title and its pointer to --help."""
    rows = [line.strip(" │╭╮╰╯─") for line in box.splitlines()[1:]]
    said = [row for row in rows if row and "full helptext" not in row]
    return " ".join(" ".join(said).split())
