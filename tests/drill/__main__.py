"""The command line of the drill: plan the trials, share them among workers, judge, print the table."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update({"OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"})  # before numpy starts its threads
BAD = ("WRONG", "HUNG")
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tools")]

import training  # noqa: E402

from tests.drill import kinds_damage, kinds_outside  # noqa: E402, F401
from tests.drill.kinds import KINDS, Kind  # noqa: E402
from tests.drill.stable import preload, warm  # noqa: E402
from tests.drill.table import print_table, write_page  # noqa: E402
from tests.drill.trial import BATCH, OPTIONS, Skipped, Trial, Wrong  # noqa: E402
from tests.tools.trials import read_entries, share_out  # noqa: E402


def main() -> int:
    options = _arguments()
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    plan = _plan(options)
    results = work / f"results-{options.seed}-{len(plan)}.jsonl"
    if options.again:
        results.unlink(missing_ok=True)
    done = {entry["id"] for entry in read_entries(results) if not (options.failed and entry["verdict"] in BAD)}
    began = time.monotonic()
    preload()
    _prepare(work)
    waiting = [job for job in plan if job[0] not in done]
    share_out(waiting, lambda job: _judge(job, work, options), results, workers=options.workers)
    newest = {entry["id"]: entry for entry in read_entries(results)}
    entries = [newest[job[0]] for job in plan if job[0] in newest]
    seconds = time.monotonic() - began
    print_table(entries)
    print(f"{len(entries)} trials, seed {options.seed}, {seconds / 60:.1f} min; {results}")
    if options.page:
        write_page(options.page, entries, seed=options.seed)
    bad = [entry for entry in entries if entry["verdict"] in BAD]
    for entry in bad:
        print(f"{entry['verdict']} {entry['id']}: {entry['note']}\n  " + "\n  ".join(entry["log"]), file=sys.stderr)
    return 1 if bad or len(entries) < len(plan) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--trials", type=int, default=300, help="sum over all kinds (300)")
    parser.add_argument("--short", action="store_true", help="one trial of the cheap kinds: two minutes")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and choices (1)")
    parser.add_argument("--workers", type=int, default=2, help="trials at once (2)")
    parser.add_argument("--only", help="kinds whose name contains this")
    parser.add_argument("--work", type=Path, default=Path("/tmp/swav-dali-drill"), help="folder for data and runs")
    parser.add_argument("--again", action="store_true", help="forget the results of these trials; otherwise go on")
    parser.add_argument("--failed", action="store_true", help="try those trials again that failed")
    parser.add_argument("--page", type=Path, help="write the table there, as Markdown")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good trials too")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> list[tuple[str, int, int]]:
    """(id, index of the kind, ranks) of every trial."""
    chosen = [(i, kind) for i, kind in enumerate(KINDS) if options.only is None or options.only in kind.name]
    if options.short:
        return [(f"{kind.name} #0", i, kind.ranks[-1]) for i, kind in chosen if kind.is_short]
    shares = sum(kind.share for _, kind in chosen)
    jobs = []
    for i, kind in chosen:
        for number in range(max(1, -(-kind.share * options.trials // shares))):
            jobs.append((f"{kind.name} #{number}", i, kind.ranks[number % len(kind.ranks)]))
    random.Random(options.seed).shuffle(jobs)
    return jobs


def _prepare(work: Path) -> None:
    """The shards, and the runs that nothing befalls."""
    if not (work / "data" / "validation" / "manifest.json").exists():
        for name, num, seed in (("train", 40, 0), ("validation", 20, 1)):
            source = training.draw_folder(work / "pictures" / name, num_images=num, seed=seed)
            training.build_shards(source, work / "data" / name, "--num-shards", "4")
    command = training.command(work / "data", work, "warm", **OPTIONS)
    warm(command[command.index("train.py") + 1 :])
    for ranks in BATCH:
        folder = work / f"reference-{ranks}"
        trial = Trial(work, folder, random.Random(0), ranks)  # anew each time: the code may have changed
        ended = trial.go()
        if not ended.is_good:
            sys.exit(f"the undisturbed run of {ranks} rank(s) failed:\n{ended.err}")
        (folder / "seconds.txt").write_text(str(ended.seconds))


def _judge(job: tuple[str, int, int], work: Path, options: argparse.Namespace) -> dict[str, Any]:
    name, index, ranks = job
    kind: Kind = KINDS[index]
    folder = work / "trials" / "".join(c if c.isalnum() else "-" for c in name)
    trial = Trial(work, folder, random.Random(f"{options.seed} {name}"), ranks)
    began = time.monotonic()
    note = ""
    try:
        verdict: str = kind.act(trial)
    except Skipped as reason:
        verdict, note = "skipped", str(reason)
    except TimeoutError as reason:
        verdict, note = "HUNG", str(reason)
    except Wrong as reason:
        verdict, note = "WRONG", str(reason)
    except Exception as error:  # a trial's own mistake must not end the drill, and must not pass either
        verdict, note = "WRONG", f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    if verdict not in BAD and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{verdict:10} {seconds:5.1f} s  {name}  ({ranks} rank(s))  {note}", flush=True)
    entry = {"id": name, "kind": kind.name, "ranks": ranks, "verdict": verdict, "note": note}
    return {**entry, "seconds": round(seconds, 1), "seed": options.seed, "log": trial.log}


if __name__ == "__main__":
    sys.exit(main())
