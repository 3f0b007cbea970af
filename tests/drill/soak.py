"""`python -m tests.drill.soak --minutes 30`: a small run for a long time, and whether anything of it grows.

Two ranks train on tiny shards with a checkpoint every 50 steps. Memory, descriptors, threads, disk and step time are
looked at every few seconds; the first quarter is left out, the rest is cut into 12 blocks, and a line is laid through
their means. Noise is the standard error of its slope: a slope below twice its noise is none.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"})  # before numpy starts its threads

import argparse
import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tools")]

import numpy as np  # noqa: E402
import training  # noqa: E402

from tests.drill.stable import Running, preload, start  # noqa: E402
from tests.drill.trial import BATCH  # noqa: E402

BLOCKS = 12
UNITS = {"rss": "MiB", "anonymous": "MiB", "descriptors": "", "threads": "", "disk": "MiB", "step": "ms"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--ranks", type=int, choices=sorted(BATCH), default=2)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between looks")
    parser.add_argument("--work", type=Path, default=Path("/tmp/swav-dali-soak"))
    parser.add_argument("--json", type=Path, help="write every look there")
    options = parser.parse_args()
    looks, code = soak(options.work.resolve(), options.minutes, options.ranks, options.every)
    print(report(looks, options.minutes, options.ranks))
    if options.json:
        options.json.write_text(json.dumps(looks))
    return code


def soak(work: Path, minutes: float, ranks: int, every: float) -> tuple[dict[str, list[float]], int]:
    """Looks by name (`time` in minutes, a rank's figures as `rss 0`), and 0 if the run ended as asked."""
    shutil.rmtree(work, ignore_errors=True)
    source = training.draw_folder(work / "pictures", num_images=400, seed=0)
    training.build_shards(source, work / "data" / "train", "--num-shards", "4")
    preload()
    options = {"checkpoint__every_steps": "50", "optim__epochs": "100000", "data__validation": "none"}
    options |= {"data__batch_size": BATCH[ranks], "log__every_steps": "10", "checkpoint__keep_every_epochs": "0"}
    command = training.command(work / "data", work / "runs", "soak", **options)
    looks: dict[str, list[float]] = {}
    state = {"next": 0.0, "is_over": 0.0}

    def watch(running: Running) -> None:
        passed = time.monotonic() - running.began
        if passed > 60 * minutes and not state["is_over"]:
            state["is_over"] = 1.0
            running.kill(0, signal.SIGTERM)
        elif running.step() and passed >= state["next"] and not running.done:
            state["next"] = passed + every
            with contextlib.suppress(KeyError, OSError):  # a rank has ended: the exit codes tell
                now = look(running.pids, work / "runs" / "soak")
                for name, value in {**now, "time": passed / 60}.items():
                    looks.setdefault(name, []).append(value)

    arguments = command[command.index("train.py") + 1 :]
    ended = start(arguments, work / "said", ranks=ranks, watch=watch, timeout=60 * minutes + 120)
    if set(ended.codes) != {75}:
        print(f"the run ended with {ended.codes}: {ended.err[-500:]}", file=sys.stderr)
    return looks, int(set(ended.codes) != {75})


def look(pids: Sequence[int], folder: Path) -> dict[str, float]:
    """What the ranks and the run folder hold now."""
    found: dict[str, float] = {}
    for rank, pid in enumerate(pids):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        found[f"rss {rank}"] = int(status["VmRSS"].split()[0]) / 1024
        found[f"anonymous {rank}"] = int(status["RssAnon"].split()[0]) / 1024
        found[f"threads {rank}"] = int(status["Threads"])
        found[f"descriptors {rank}"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    found["disk"] = sum(_size(path) for path in folder.rglob("*")) / 2**20
    last = (folder / "metrics.jsonl").read_bytes().rstrip(b"\n").rpartition(b"\n")[2]
    with contextlib.suppress(ValueError):  # before the first record
        found["step"] = 1000 * json.loads(last)["seconds_per_step"]
    return {**found, "step": found.get("step", float("nan"))}


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, slope a minute and its standard error, from the block means after the first quarter."""
    keep = len(times) // 4
    x = np.array([block.mean() for block in np.array_split(np.array(times[keep:]), BLOCKS)])
    y = np.array([np.nanmean(block) for block in np.array_split(np.array(values[keep:]), BLOCKS)])
    centred = x - x.mean()
    rise = float((centred * (y - y.mean())).sum() / (centred**2).sum())
    rest = y - y.mean() - rise * centred
    return float(y.mean()), rise, float((rest.var(ddof=0) * BLOCKS / (BLOCKS - 2) / (centred**2).sum()) ** 0.5)


def report(looks: dict[str, list[float]], minutes: float, ranks: int) -> str:
    """The table, as Markdown."""
    lines = [f"{minutes:g} minutes, {ranks} rank(s), {len(looks['time'])} looks", ""]
    lines += ["| | mean | slope a minute | noise | |", "|---|---:|---:|---:|---|"]
    for name in sorted(looks.keys() - {"time"}):
        mean, rise, noise = slope(looks["time"], looks[name])
        verdict = "grows" if rise > 2 * noise and rise * 60 > 0.01 * mean else ""
        lines.append(f"| {name} ({UNITS[name.split()[0]]}) | {mean:.1f} | {rise:+.3f} | {noise:.3f} | {verdict} |")
    return "\n".join(lines).replace(" ()", "")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # pruned meanwhile
        return 0


if __name__ == "__main__":
    sys.exit(main())
