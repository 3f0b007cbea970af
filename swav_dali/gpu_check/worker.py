"""The process that makes figures: takes their names, answers with values."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from swav_dali.gpu_check.figures import Figure
from swav_dali.gpu_check.setting import Setting

_LONGEST = 1500  # letters of an error that are kept


def work(setting: Setting, pipe: Connection, parent: int) -> None:
    """Make the figures that come through `pipe` until it ends, or until process `parent` is gone."""
    os.setpgid(0, 0)  # what a figure starts can be ended with it
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts, for deterministic figures
    if setting.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported; the stage then runs on CPU tensors
    while True:
        try:
            figure = pipe.recv()
        except EOFError:
            return
        answer = _made(figure, setting)
        pipe.send({**answer, "is_sound": _is_sound(setting)})


def _made(figure: Figure, setting: Setting) -> dict[str, Any]:
    module, function = figure.function.split(":")
    try:
        made = getattr(importlib.import_module(module), function)
        return {"value": made(setting, **figure.keywords)}
    except Exception as error:  # one failure must not lose the rest
        return {
            "error": f"{type(error).__name__}: {error}"[:_LONGEST],
            "trace": traceback.format_exc()[-_LONGEST:],
        }


def _is_sound(setting: Setting) -> bool:
    """Whether the device still computes; gives its unused memory back for the next figure."""
    gc.collect()
    if setting.device == "cpu":
        return True
    import torch

    try:
        torch.cuda.empty_cache()
        return torch.ones(4, device="cuda").sum().item() == 4
    except RuntimeError:
        return False


def _end_with(parent: int) -> None:
    """Do not outlive a parent that was killed: a forgotten process would hold the GPU."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)
