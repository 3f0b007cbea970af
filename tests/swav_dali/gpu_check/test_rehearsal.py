"""The whole list on a CPU: killed at a random moment it leaves valid JSON and goes on; every figure is found."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from swav_dali.gpu_check.figures import FIGURES

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "pipelines", "gpu-check", "--device", "cpu", "--tiny"]


def start(out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, "--json", str(out), "--work", str(out.parent / "work")]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_after(out: Path, figures: int, pause: float) -> dict[str, Any]:
    """Kill both processes of a rehearsal without a warning; what the file then holds."""
    process = start(out)
    until = time.monotonic() + 120
    while len(found(out)) < figures and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return found(out)


def found(out: Path) -> dict[str, Any]:
    return json.loads(out.read_text())["figures"] if out.exists() else {}


def test_a_killed_rehearsal_goes_on_and_finds_every_figure(tmp_path: Path) -> None:
    out, chance = tmp_path / "figures.json", random.Random()
    kept = kill_after(out, figures=chance.randint(2, 5), pause=chance.uniform(0, 2))
    assert kept
    process = start(out)
    printed, complaints = process.communicate(timeout=900)
    assert process.returncode == 0, complaints
    assert "going on with" in printed
    figures = found(out)
    assert {name: figure["status"] for name, figure in figures.items()} == {each.name: "ok" for each in FIGURES}
    done = {name for name, figure in kept.items() if figure["status"] == "ok"}
    assert {name: figures[name] for name in done} == {name: kept[name] for name in done}
    assert_figures_say_what_they_should({name: figure["value"] for name, figure in figures.items()})
    sentences = json.loads(out.read_text())["sentences"]
    assert not [line for line in sentences if "Not found" in line]
    assert "Batches have the same bits twice and after resume." in sentences
    assert f"written: {out}" in printed


def assert_figures_say_what_they_should(values: dict[str, Any]) -> None:
    parity = values["parity with the CPU, levels"]
    exact = [each for name, groups in parity.items() if not name.startswith("dali") for each in groups]
    assert {each["max"] for each in exact} == {0.0}  # in the interpreter nothing differs
    resumed = values["trainer killed and resumed"]
    assert (resumed["same_losses"], resumed["same_weights"]) == (True, True)
    assert 0 < resumed["killed_after_step"] < resumed["steps"]
    assert values["six deterministic steps twice"]["same_bits"]
    assert values["damaged JPEG, cut in half"]["outcome"] == "raises, and the sample is named"


def test_the_list_and_the_help_answer_without_torch() -> None:
    for flag in ("--list", "--help"):
        check = (
            f"import sys, runpy; sys.argv = ['gpu-check', '{flag}']\n"
            "try: runpy.run_module('swav_dali.gpu_check', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "assert not {'torch', 'nvidia', 'numba'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
        assert ("--tiny" if flag == "--help" else "training, big batch, crops by gpu") in done.stdout
    listed = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--tiny" in listed.stdout
