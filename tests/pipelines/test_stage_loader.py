"""The loader with its crops made behind the graph, on the CPU in Triton's interpreter: the bits of the CPU's crops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import PipelineError

ROOT = Path(__file__).parents[2]


def test_the_stage_behind_the_graph_gives_the_bits_of_the_compiled_kernels(make_set: Any) -> None:
    """Over the end of an epoch, after a resume, in every precision."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = [sys.executable, str(ROOT / "tests/tools/stage_loader.py"), str(make_set(7).root)]
    done = subprocess.run(script, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 4
    assert found == dict.fromkeys(found, True)


def test_without_a_gpu_the_stage_is_refused_when_the_loader_is_opened(make_set: Any, make_loader: Any) -> None:
    with pytest.raises(PipelineError, match=r"--data\.crops-by: .* need a CUDA device"):
        make_loader(make_set(29), crops_by="gpu")
