"""The decoder's own word: asked about what is no JPEG, in a process that may be absent or die of a picture."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tars import write_tar

from shards.checking.check_tar import TarCheck, check_tar
from shards.checking.second_opinion import OK, SecondOpinion, read_picture

CRASHING = """
import os, sys
sys.path.insert(0, {root!r})
from shards.checking.second_opinion import read_picture
print("a decoder", flush=True)
while (content := read_picture(sys.stdin.buffer)) is not None:
    if content == b"crash":
        os.abort()
    print("ok" if content == b"good" else "no such thing", flush=True)
"""


def opinion(script: str) -> SecondOpinion:
    return SecondOpinion(command=(sys.executable, "-c", script))


def test_answers_are_passed_on_and_a_crash_is_one_pictures_fault() -> None:
    asked = opinion(CRASHING.format(root=str(Path(__file__).parents[3])))
    assert [asked.refusal(content) for content in (b"good", b"bad", b"good")] == [None, "no such thing", None]
    assert asked.name == "a decoder"
    assert str(asked.refusal(b"crash")).startswith("crashes the decoder, with code")
    assert asked.refusal(b"good") is None
    assert asked.close() == 0


def test_an_absent_decoder_refuses_nothing() -> None:
    asked = opinion("import no_such_module")
    assert asked.refusal(b"bad") is None
    assert asked.name is None


def test_pictures_are_read_as_they_were_asked() -> None:
    stream = io.BytesIO(b"\3\0\0\0abc\0\0\0\0\1\0\0\0x\2")
    assert [read_picture(stream) for _ in range(4)] == [b"abc", b"", b"x", None]
    assert OK == "ok"


@pytest.fixture
def with_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondOpinion]:
    asked = SecondOpinion()
    monkeypatch.setattr("shards.checking.check_tar.second_opinion", lambda: asked)
    yield asked
    asked.close()


def test_a_full_check_asks_dali_about_what_is_no_jpeg(
    tmp_path: Path, make_picture: Callable[..., bytes], with_decoder: SecondOpinion
) -> None:
    gif = make_picture(2, kind="GIF")  # which DALI cannot decode, and Pillow can
    members = [("a.png", make_picture(0, kind="PNG")), ("b.jpg", make_picture(1)), ("c.gif", gif)]
    write_tar(tmp_path / "x.tar", [*members, ("d.webp", make_picture(3, kind="WEBP"))])
    report = check_tar(TarCheck(tar=tmp_path / "x.tar", full=True))
    assert report.num_asked == 3
    assert str(report.decoder).startswith("DALI 2.")
    assert report.problems == [f"c: refused by {report.decoder}: no picture of a known format"]
