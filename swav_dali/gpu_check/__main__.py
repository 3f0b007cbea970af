"""`python -m swav_dali.gpu_check`: the figures one after the other, the JSON, and the sentences at the end."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipelines.commands.gpu_check import EXAMPLES, SUMMARY, add_options
from shards.errors import run_command
from swav_dali.gpu_check.figures import FIGURES, Figure
from swav_dali.gpu_check.record import Record
from swav_dali.gpu_check.sentences import sentences
from swav_dali.gpu_check.setting import Setting
from swav_dali.gpu_check.supervise import Supervisor

_BETWEEN = 5.0  # seconds that a figure needs at the very least


def main() -> int:
    """Parse the command line, measure; returns 1 if a figure could not be found."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines gpu-check",
        description=SUMMARY,
        epilog=f"examples:\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    args = parser.parse_args()
    wanted = [figure for figure in FIGURES if not args.only or any(word in figure.name for word in args.only)]
    if args.list:
        _say("\n".join(f"{figure.limit:6.0f} s  {figure.name}" for figure in wanted))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the worker is ended too
    work = args.work or Path(tempfile.gettempdir()) / f"swav-dali-gpu-check-{os.getuid()}{'-tiny' * args.tiny}"
    setting = Setting(
        device=args.device, tiny=args.tiny, work=work.absolute(), shards=args.shards, pictures=args.pictures
    )
    setting.work.mkdir(parents=True, exist_ok=True)
    record = Record(args.json, _key(setting), _sources())
    if record.figures:
        _say(f"going on with {args.json}: {len(record.figures)} of {len(FIGURES)} figures are there")
    with Supervisor(setting) as supervisor:
        _measure(record, wanted, supervisor, until=time.monotonic() + (args.budget or float("inf")))
    record.sentences = sentences(record)
    record.write()
    _say("\n" + "\n".join(record.sentences) + f"\nwritten: {args.json}")
    return 0 if all(record.figures[figure.name]["status"] == "ok" for figure in wanted) else 1


def _measure(record: Record, wanted: list[Figure], supervisor: Supervisor, *, until: float) -> None:
    began = time.monotonic()
    for figure in wanted:
        if record.is_settled(figure.name):
            continue
        left = until - time.monotonic()
        if left < _BETWEEN:
            record.put(figure.name, "no time left", 0.0, {})
            continue
        record.begin(figure.name)
        status, seconds, found = supervisor.run(figure, limit=min(figure.limit, left))
        record.put(figure.name, status, seconds, found)
        shown = str(found.get("value", found.get("error", "")))[:600]
        _say(f"{time.monotonic() - began:6.1f} s  {figure.name}, {status} ({seconds:.1f} s): {shown}")


def _key(setting: Setting) -> dict[str, Any]:
    """What figures must share to stand in one file."""
    shards = None if setting.shards is None else str(setting.shards.absolute())
    return {"device": setting.device, "tiny": setting.tiny, "shards": shards, "pictures": setting.num_pictures}


def _sources() -> str:
    """A name for the code that makes the figures."""
    content = hashlib.sha256()
    for package in ("shards", "pipelines", "swav_dali"):
        for path in sorted((Path(__file__).parents[2] / package).rglob("*.py")):
            content.update(path.read_bytes())
    return content.hexdigest()[:16]


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
