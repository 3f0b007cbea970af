"""Verification decodes at an eighth of the size; a full decode of the same bytes must say the same, word for word."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from shards.pictures.inspect import MAX_SCANS, inspect, strict_message
from shards.pictures.jpeg import JpegHeader, read_header
from shards.pictures.troubles import Trouble

Make = Callable[..., bytes]
KINDS = ("flip", "cut", "zero", "insert", "remove", "header")
MAX_PIXELS = 4_000_000  # a flipped size field makes giants


def at_full_size(content: bytes, header: JpegHeader) -> str | None:
    """What libjpeg says about a full strict decode."""
    try:
        simplejpeg.decode_jpeg(content, colorspace="CMYK" if header.num_components == 4 else "GRAY", strict=True)
    except ValueError as error:
        return str(error)
    return None


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """One kind of damage at a random place."""
    changed, kind = bytearray(content), KINDS[int(random.integers(len(KINDS)))]
    start, length = int(random.integers(2, len(content))), int(random.integers(1, 600))
    if kind in ("flip", "header"):
        end = len(content) if kind == "flip" else min(700, len(content))
        for _ in range(int(random.integers(1, 20 if kind == "flip" else 4))):
            changed[int(random.integers(end))] ^= 1 << int(random.integers(8))
    elif kind == "cut":
        del changed[start:]
    elif kind == "zero":
        changed[start : start + length] = bytes(len(changed[start : start + length]))
    elif kind == "insert":
        changed[start:start] = random.bytes(length % 50)
    else:
        del changed[start : start + length % 50]
    return bytes(changed)


def say_the_same(contents: Iterator[bytes]) -> Counter[str]:
    """Compares both decodes of everything that has a header; returns how often each message's start came."""
    said = Counter[str]()
    for content in contents:
        header = read_header(content)
        if header is None or header.num_components not in (1, 3, 4) or header.width * header.height > MAX_PIXELS:
            continue
        message = strict_message(content, header)
        assert message == at_full_size(content, header)
        said[(message or "sound")[:20]] += 1
    return said


def variants(image: Image.Image) -> Iterator[bytes]:
    """A picture in every colour space, subsampling, scan order and restart interval that Pillow writes."""
    for mode, subsamplings in (("RGB", ("4:4:4", "4:2:2", "4:2:0", "4:1:1")), ("L", ("4:2:0",)), ("CMYK", ("4:2:0",))):
        for subsampling in subsamplings:
            for progressive in (False, True):
                for interval in (0, 4):
                    buffer = io.BytesIO()
                    options = {"subsampling": subsampling, "progressive": progressive}
                    image.convert(mode).save(buffer, "JPEG", restart_marker_blocks=interval, **options)
                    yield buffer.getvalue()


def test_damage_of_every_kind_of_jpeg_is_named_as_a_full_decode_names_it(make_picture: Make) -> None:
    random = np.random.default_rng(3)
    small = Image.open(io.BytesIO(make_picture(0, size=(75, 50), quality=60)))
    sound = list(variants(small))
    assert say_the_same(iter(sound)) == {"sound": 20, "tjDecompressHeader3(": 4}  # 4:1:1 is not TurboJPEG's
    said = say_the_same(damaged(content, random) for content in sound * 50)
    assert sum(said.values()) > 800
    assert len(said) > 10
    assert 10 < said["sound"] < sum(said.values()) / 2


def test_sides_of_any_remainder_are_verified(make_picture: Make) -> None:
    sizes = [(width, height) for width in (1, 7, 8, 9, 17) for height in (1, 8, 15, 16)]
    assert say_the_same(make_picture(0, size=size) for size in sizes) == {"sound": len(sizes)}


def test_the_awkward_collection_is_judged_as_by_a_full_decode(awkward: Path) -> None:
    files = (path.read_bytes() for path in sorted(awkward.rglob("*")) if path.is_file())
    said = say_the_same(content for content in files if content.startswith(b"\xff\xd8"))
    assert said["sound"] > 30
    assert len(said) > 4


@pytest.mark.slow
def test_three_thousand_damaged_photographs_are_judged_as_by_a_full_decode(imagenet_samples: Path) -> None:
    random = np.random.default_rng(11)
    seeds = sorted(imagenet_samples.glob("*.JPEG"), key=lambda path: path.stat().st_size)[:100]
    photographs = [path.read_bytes() for path in seeds]
    encoded = [content for path in seeds[:10] for content in variants(Image.open(path).resize((220, 170)))]
    said = say_the_same(damaged(content, random) for content in [*photographs * 20, *encoded * 20])
    print(f"{sum(said.values())} damaged photographs, {len(said)} kinds of message: {said.most_common(5)}")
    assert sum(said.values()) > 3000


def scans(content: bytes, count: int) -> bytes:
    """The picture with its last scan's header `count` times more before the end."""
    start = content.rindex(b"\xff\xda")
    return content[:-2] + count * content[start : start + 10] + content[-2:]


def test_scans_without_end_are_refused_before_decoding(make_picture: Make) -> None:
    progressive = scans(make_picture(0, progressive=True), MAX_SCANS + 1)
    (finding,) = inspect(progressive, "x.jpg", decode=False).findings
    assert (finding.trouble, finding.detail) == (Trouble.CORRUPT, f"more than {MAX_SCANS} scans")


def test_a_scan_after_the_only_one_that_may_be_is_damage(make_picture: Make) -> None:
    assert read_header(make_picture(0)).is_one_scan  # type: ignore[union-attr]
    assert not read_header(make_picture(0, progressive=True)).is_one_scan  # type: ignore[union-attr]
    (finding,) = inspect(scans(make_picture(0), MAX_SCANS + 1), "x.jpg").findings
    assert finding.trouble == Trouble.CORRUPT
