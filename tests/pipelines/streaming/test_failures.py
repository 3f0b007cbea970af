"""DALI's error texts become one line that a person can act on."""

from __future__ import annotations

import pytest

from pipelines.streaming.failures import reason_of

TEXT = """Critical error in pipeline:
Error in CPU operator `nvidia.dali.fn.decoders.image`,
which was used in the pipeline definition with the following traceback:

  File "x.py", line 1, in <module>

encountered:

{}
Current pipeline object is no longer valid."""


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("nvImageCodec failure: '#3'", "a damaged header"),
        ("nvImageCodec failure: '#4'", "no picture of a known format"),
        ("nvImageCodec failure: '#7'", "nvImageCodec failure: '#7'"),
        ("Failed to decode sample #12 :", "damaged picture data"),
        ("Failed to decode sample #1 : c.tar:30208:b.jpg", "Failed to decode sample #1 : c.tar:30208:b.jpg"),
        ('Assert on "a == b" failed: sizes differ', "sizes differ"),
    ],
)
def test_the_decoders_codes_are_said_in_words(said: str, meant: str) -> None:
    assert reason_of(RuntimeError(TEXT.format(said))) == meant


def test_an_empty_text_says_so() -> None:
    assert reason_of(RuntimeError("")) == "no reason given"
