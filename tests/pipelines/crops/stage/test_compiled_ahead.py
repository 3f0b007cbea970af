"""What the stage launches, compiled for cards that are not here: nothing contracted, no short division, no spills."""

from __future__ import annotations

import sys

import pytest
from ahead import Compiled, Launch, compile_for, compiler_missing, launches_of, loose_arithmetic
from interpreted import ROOM, Change, changed

from pipelines.config import IMAGENET_CROPS, CropGroup, Precision

CARDS = (80, 90, 100)
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "bfloat16")
pytestmark = pytest.mark.skipif(bool(compiler_missing()), reason=compiler_missing())


def check(made: Compiled, card: int) -> None:
    print(f"{made.name:16} {card / 10:4.1f}: {made.registers} registers, {made.stack} stack, {made.shared} shared")
    assert loose_arithmetic(made.ptx) == []
    assert made.stack == 0  # nothing is spilled
    assert made.registers <= 64  # a multiprocessor holds 1024 threads of it


@pytest.mark.parametrize("card", CARDS)
def test_the_crops_of_imagenet(card: int) -> None:
    for launch in launches_of(IMAGENET_CROPS, precision="bfloat16"):
        check(compile_for(card, launch), card)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("precision", PRECISIONS[:2])
def test_the_other_types(card: int, precision: Precision) -> None:
    check(compile_for(card, launches_of(IMAGENET_CROPS[:1], precision=precision)[-1]), card)


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("size", [8, 32, 37, 64, 160])
def test_other_sizes(card: int, size: int) -> None:
    group = CropGroup(num=2, size=size, min_scale=0.5, max_scale=1.0)
    for precision in PRECISIONS:
        for launch in launches_of([group], precision=precision):
            check(compile_for(card, launch), card)


def launch_of(name: str) -> Launch:
    return next(each for each in launches_of(IMAGENET_CROPS, precision="float32") if each.kernel.__name__ == name)


@pytest.mark.parametrize("name", ["fill_tables", "resize", "distort", "blur_down", "finish"])
def test_contraction_left_on_is_seen(name: str) -> None:
    assert "fma" in loose_arithmetic(compile_for(90, launch_of(name), enable_fp_fusion=True).ptx)


def test_a_short_division_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = "tl.div_rn(tl.zeros_like(chroma) + 1.0, tl.maximum(chroma, 1.0))"
    short = Change("color", exact, "1.0 / tl.maximum(chroma, 1.0)")
    monkeypatch.setitem(sys.modules, f"{ROOM}.color", sys.modules[f"{ROOM}.color"])  # the true module comes back
    launch = launch_of("distort")._replace(kernel=changed(short).distort)
    assert loose_arithmetic(compile_for(90, launch).ptx) == ["div.full"]
