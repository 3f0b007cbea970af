"""The command line: plan the trials, share them among workers, print the confusion table."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"})  # before numpy starts its threads
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tools")]

import numpy as np  # noqa: E402
import training  # noqa: E402
from PIL import Image  # noqa: E402

from tests.drill.stable import preload, warm  # noqa: E402
from tests.faults import kinds_learning  # noqa: E402, F401
from tests.faults.kinds import KINDS, QUIET, SMALL, Kind  # noqa: E402
from tests.faults.table import outcome, print_table, write_page  # noqa: E402
from tests.faults.trial import Broken, Trial  # noqa: E402
from tests.tools.trials import read_entries, share_out  # noqa: E402


def main() -> int:
    options = _arguments()
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    _make_data(work)
    chosen = [kind for kind in KINDS if options.only is None or options.only in kind.name]
    jobs = [(kind, number) for number in range(options.runs) for kind in chosen]
    results = work / f"results-{options.seed}.jsonl"
    done = set() if options.again else {(entry["kind"], entry["number"]) for entry in read_entries(results)}
    preload()
    command = training.command(work / "demo", work, "warm", **SMALL)
    warm(command[command.index("train.py") + 1 :])
    waiting = [job for job in jobs if (job[0].name, job[1]) not in done]
    share_out(waiting, lambda job: _tried(*job, work, options), results, workers=options.workers)
    newest = {(entry["kind"], entry["number"]): entry for entry in read_entries(results)}
    entries = list(newest.values())
    print_table(entries)
    if options.page:
        write_page(options.page, entries, seed=options.seed)
    good = ("fine", "named")
    for entry in entries:
        if outcome(entry) not in good:
            print(f"{outcome(entry)}: {entry['kind']} #{entry['number']}: {entry.get('told') or entry['log']}")
    return 0 if all(outcome(entry) in good for entry in entries) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each fault (5)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each has its own (1)")
    parser.add_argument("--workers", type=int, default=1, help="runs at once (1): more of them are a crowd themselves")
    parser.add_argument("--only", help="faults whose name contains this")
    parser.add_argument("--work", type=Path, default=Path("/tmp/swav-dali-faults"), help="folder for data and runs")
    parser.add_argument("--again", action="store_true", help="do not keep earlier results of these faults")
    parser.add_argument("--page", type=Path, help="write the table there, as Markdown")
    return parser.parse_args()


def _make_data(work: Path) -> None:
    """The demo set, which can be learnt, and a few pictures that are large."""
    if not (work / "demo" / "train" / "manifest.json").exists():
        subprocess.run([sys.executable, "-m", "shards", "demo", str(work / "demo")], cwd=ROOT, check=True)
    for name, grain in (("large", 1), ("smooth", 100)):
        if not (work / name / "train" / "manifest.json").exists():
            _draw(work / "pictures" / name, grain)
            training.build_shards(work / "pictures" / name, work / name / "train", "--num-shards", "4")


def _draw(folder: Path, grain: int) -> None:
    """Pictures of 1600x1200; noise of single pixels is as dear to decode as pictures get, smooth ones are cheap."""
    noise = np.random.default_rng(0)
    for number in range(64):
        path = folder / f"{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        dots = Image.fromarray(noise.integers(0, 255, (1200 // grain, 1600 // grain, 3), np.uint8))
        dots.resize((1600, 1200)).save(path, quality=90)


def _tried(kind: Kind, number: int, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    folder = work / "trials" / f"{''.join(c if c.isalnum() else '-' for c in kind.name)}-{options.seed}-{number}"
    trial = Trial(work, folder, options.seed + number)
    entry: dict[str, Any] = {"kind": kind.name, "number": number, "quiet": QUIET}
    began = time.monotonic()
    try:
        entry["told"] = asdict(kind.act(trial))
        shutil.rmtree(folder / "runs" / "run" / "checkpoints", ignore_errors=True)
    except Broken as reason:
        trial.log.append(str(reason))
    entry |= {"seconds": round(time.monotonic() - began, 1), "log": trial.log}
    print(f"{outcome(entry):11} {entry['seconds']:6.1f} s  {kind.name} #{number}  {entry.get('told')}", flush=True)
    return entry


if __name__ == "__main__":
    sys.exit(main())
