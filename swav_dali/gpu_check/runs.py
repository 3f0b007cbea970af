"""Figures that take whole programs: a trainer that is killed and started again, and the tests marked `gpu`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from swav_dali.cli import parse
from swav_dali.gpu_check.setting import Setting
from swav_dali.run.checkpoint import find_checkpoints, load_parts
from swav_dali.run.trainer import train

_ROOT = Path(__file__).parents[2]
_START = "import sys; from swav_dali.cli import main; sys.exit(main())"
_PATIENCE = 120.0


def killed_and_resumed(setting: Setting) -> dict[str, Any]:
    """Whether a run killed in mid-epoch and started again has the losses and weights of one that was left alone."""
    runs = setting.work / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            train(parse(_flags(setting, runs, "whole")))
            killed_at = _start_and_kill(setting, runs)
            train(parse(_flags(setting, runs, "broken")))
    finally:
        torch.use_deterministic_algorithms(False)
    whole, broken = runs / "whole", runs / "broken"
    return {
        "killed_after_step": killed_at,
        "steps": _last_step(whole),
        "same_losses": _losses(whole) == _losses(broken),
        "same_weights": _same_weights(whole, broken),
    }


def _flags(setting: Setting, runs: Path, name: str) -> list[str]:
    batch, every = ("4", "3") if setting.tiny else ("64", "10")
    options = {
        "--data.train": str(setting.photos),
        "--data.validation": "none",
        "--data.batch-size": batch,
        "--data.loader.threads": str(setting.threads),
        "--device": setting.device,
        "--optim.epochs": "2",
        "--checkpoint.every-steps": every,
        "--log.every-steps": "1",
        "--log.wandb": "off",
        "--log.report-minutes": "0",
        "--runs-dir": str(runs),
        "--name": name,
    }
    return ["demo", *(word for pair in options.items() for word in pair), "--deterministic", "--log.no-headspace"]


def _start_and_kill(setting: Setting, runs: Path) -> int:
    """Kill a run after its first checkpoint, between two others; returns the last step it told of."""
    command = [sys.executable, "-c", _START, *_flags(setting, runs, "broken")]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + _PATIENCE
    after = 4 if setting.tiny else 15
    while _last_step(runs / "broken") < after and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return _last_step(runs / "broken")


def _last_step(folder: Path) -> int:
    return max(_losses(folder), default=0)


def _losses(folder: Path) -> dict[int, float]:
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "metrics.jsonl").read_text().splitlines():
            with contextlib.suppress(ValueError):  # a line that is being written
                record = json.loads(line)
                if "loss" in record:
                    found[int(record["step"])] = float(record["loss"])
    return found


def _same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (load_parts(find_checkpoints(run / "checkpoints")[-1], "shared.pt")["model"] for run in (one, other))
    return all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def gpu_tests(setting: Setting) -> dict[str, Any]:
    """Outcome of every test marked `gpu`, collected from the files that have one and no others."""
    files = sorted(str(path) for path in (_ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
        done = subprocess.run(
            [*command, *files], cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if not report.exists():
            raise RuntimeError(f"pytest wrote no report: {(done.stderr or done.stdout)[-1000:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    outcomes = {f"{case.get('classname')}.{case.get('name')}": outcome(case) for case in cases}
    counts = {word: list(outcomes.values()).count(word) for word in ("passed", "failed", "skipped")}
    bad = {name: _words(case) for name, case in zip(outcomes, cases, strict=True) if outcomes[name] == "failed"}
    return {"files": len(files), **counts, "failures": bad}


def outcome(case: ElementTree.Element) -> str:
    """`passed`, `failed` or `skipped`, of a testcase in a JUnit report."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def _words(case: ElementTree.Element) -> str:
    parts = [part for part in (case.find("failure"), case.find("error")) if part is not None]
    return str(parts[0].get("message"))[:500]
