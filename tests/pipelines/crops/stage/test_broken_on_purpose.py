"""A kernel with one fault must not pass for the compiled kernels: each fault is seen by a handful of crops."""

from __future__ import annotations

import numpy as np
import pytest
from crop_cases import LEVELS
from interpreted import Change, Interpreter

from pipelines.config import Augmentation
from pipelines.crops import parameters as p
from pipelines.crops.exact import normalization
from pipelines.crops.kernels import crops_of
from pipelines.crops.kernels_finish import BFLOAT16

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)

FAULTS = {
    "a tap fewer": Change("tables", "(2 * length + size - 1) // size", "(2 * length + size - 1) // size - 1"),
    "weights cut": Change("tables", "(0.5 + share * _ONE)", "(share * _ONE)"),
    "a support too wide": Change(
        "tables", "support = tl.maximum(scale, 1.0)", "support = tl.maximum(scale, 1.0) * 1.01"
    ),
    "bytes cut between the passes": Change("resize", "r = tl.zeros_like(red) + _HALF", "r = tl.zeros_like(red)"),
    "no order of passes": Change("resize", "height - SIZE > 2 * (width - SIZE)", "height < 0"),
    "no flip": Change("resize", "tl.load(row + FLIP) > 0", "tl.load(row + FLIP) > 1"),
    "luma rounded": Change("color", "return tl.floor((red", "return tl.floor(0.5 + (red"),
    "blend rounded": Change("color", "tl.floor(tl.minimum(", "tl.floor(0.5 + tl.minimum("),
    "contrast about black": Change("color", "_CONTRAST, mean, other", "_CONTRAST, 0.0, other"),
    "hue backwards": Change("color", "6.0 * (turn - tl.floor(turn))", "6.0 * (tl.ceil(turn) - turn)"),
    "hue rounded": Change("color", "tl.floor((most - chroma", "tl.floor(0.5 + (most - chroma"),
    "blur doubles the border": Change(
        "blur", "return tl.abs(index - distance)", "return tl.maximum(index - distance, 0)"
    ),
    "blur cut": Change("blur", "(value + _ROUND) - _ROUND", "tl.floor(value)"),
    "solarized from 0": Change("blur", "tl.minimum(value, 255.0 - value)", "255.0 - value"),
}


def rows() -> np.ndarray:
    made = np.zeros((3, p.COLUMNS), np.float32)
    made[:, p.TOP : p.WIDTH + 1] = (0, 0, 60, 34), (3, 5, 41, 40), (9, 4, 20, 44)
    made[:, p.JITTER], made[:, p.FLIP], made[:, p.ORDER] = 1, 1, (0, 9, 21)
    made[:, p.BRIGHTNESS : p.HUE + 1] = (0.9, 0.7, 1.3, 0.1), (1.1, 1.2, 0.6, -0.15), (0.8, 1.1, 0.9, 0.05)
    made[:, p.SIGMA] = 0, 1.1, 0
    made[2, [p.GRAY, p.SOLARIZE]] = 1
    return made


def test_without_a_fault_they_are_equal(interpreter: Interpreter) -> None:
    np.testing.assert_array_equal(interpreter.crops([IMAGE], [rows()], 32)[0], crops_of(IMAGE, rows(), 32, LEVELS))


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_is_seen(interpreter: Interpreter, fault: str) -> None:
    broken = interpreter.crops([IMAGE], [rows()], 32, changes=(FAULTS[fault],))
    assert (broken[0] != crops_of(IMAGE, rows(), 32, LEVELS)).any()


def test_bfloat16_cut_instead_of_rounded_is_seen(interpreter: Interpreter) -> None:
    affine, cut = normalization(Augmentation()), Change("blur", " + ((bits >> 16) & 1) + 0x7FFF", "")
    given = {"affine": affine, "precision": "bfloat16", "changes": (cut,)}
    broken = interpreter.crops([IMAGE], [rows()], 32, **given)
    assert (broken[0] != crops_of(IMAGE, rows(), 32, affine, BFLOAT16)).mean() > 0.3
