"""The whole grid against the compiled kernels, slow: orders at every size, every colour, windows of every length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from crop_cases import GRID, by_kernels
from interpreted import Interpreter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(checks_overflow=True) as started:
        yield started


@pytest.mark.parametrize("part", GRID)
def test_no_level_is_apart(interpreter: Interpreter, part: str) -> None:
    for case in GRID[part]():
        ours, theirs = interpreter.crops(*case), by_kernels(case)
        print(
            f"{part}: {len(case.images) * len(case.rows[0])} crops, {ours.size} levels, {(ours != theirs).sum()} apart"
        )
        np.testing.assert_array_equal(ours, theirs)
