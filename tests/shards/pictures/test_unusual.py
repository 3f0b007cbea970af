"""Pictures that Pillow opens and DALI may not: noticed, mended without changing a pixel, or left out by name."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fuzz import KINDS, drawn, exif
from numpy.typing import NDArray
from PIL import Image

from shards.building.judge import Judge
from shards.building.policy import Policy, parse_policy
from shards.pictures import png, webp
from shards.pictures.inspect import inspect
from shards.pictures.jpeg import segments, without_junk
from shards.pictures.troubles import Trouble


def pixels(content: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def jpeg(**save: Any) -> bytes:
    return drawn(1, "JPEG", **save)


def in_header(junk: bytes) -> bytes:
    """A JPEG with junk in front of its frame header."""
    content = jpeg()
    frame = next(start for marker, start, _ in segments(content) if marker == 0xC0)
    return content[:frame] + junk + content[frame:]


def with_adobe(transform: int) -> bytes:
    content = jpeg()
    segment = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    end = next(end for _, _, end in segments(content))
    return content[:2] + segment + content[end:]


def without_tables() -> bytes:
    """A frame of a film: the standard tables are left out."""
    content, position, kept = drawn(1, "JPEG", optimize=False), 2, [b"\xff\xd8"]
    for marker, start, end in segments(content):
        kept += [] if marker == 0xC4 else [content[start:end]]
        position = end
    return b"".join([*kept, content[position:]])


def with_wrong_sum() -> bytes:
    """A PNG whose picture data have another checksum, which Pillow passes over."""
    content = drawn(1, "PNG")
    place = len(content) - 13  # in front of the last chunk
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


UNUSUAL: dict[str, Callable[[], tuple[str, bytes]]] = {
    "line break in front": lambda: ("jpg", b"\r\n" + jpeg()),
    "zeros in front": lambda: ("jpg", bytes(600) + jpeg()),
    "a few bytes in front": lambda: ("jpg", b"\x01\x02\xff\x04" + jpeg()),
    "junk before the frame": lambda: ("jpg", in_header(b"\x00\x01junk\xff\x00")),
    "unknown colours in APP14": lambda: ("jpg", with_adobe(9)),
    "animated png": lambda: ("png", drawn(1, "PNG", frames=3)),
    "animated png with a picture of its own": lambda: ("png", drawn(1, "PNG", frames=3, default_image=True)),
    "png with a wrong sum": lambda: ("png", with_wrong_sum()),
    "bytes behind a png": lambda: ("png", drawn(1, "PNG") + b"\0"),
    "webp with exif": lambda: ("webp", drawn(1, "WEBP", exif=exif())),
    "lossless webp with exif": lambda: ("webp", drawn(1, "WEBP", lossless=True, exif=exif(1))),
    "bytes behind a webp": lambda: ("webp", drawn(1, "WEBP") + b"\0\0"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_dali_may_refuse_is_noticed_and_mended_with_the_same_pixels(name: str) -> None:
    suffix, content = UNUSUAL[name]()
    assert Trouble.UNUSUAL in {finding.trouble for finding in inspect(content, f"x.{suffix}").findings}
    verdict = Judge().judge(f"x.{suffix}", content)
    assert verdict.suffix is not None
    assert [event["action"] for event in verdict.events] == ["fixed"]
    assert inspect(verdict.content, f"x.{verdict.suffix}").findings == ()
    assert np.array_equal(pixels(verdict.content), pixels(without_junk(content)))


def test_fill_bytes_between_segments_are_usual() -> None:
    content = in_header(b"\xff\xff\xff")
    assert without_junk(content) is content
    assert inspect(content, "x.jpg").findings == ()


def test_a_clean_file_is_not_copied() -> None:
    for content in (jpeg(), jpeg(progressive=True), b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0", b"GIF89a"):
        assert without_junk(content) is content


def test_frames_of_films_are_decoded_with_the_standard_tables() -> None:
    assert inspect(without_tables(), "x.jpg").findings == ()
    assert np.array_equal(pixels(without_tables()), pixels(drawn(1, "JPEG", optimize=False)))


@pytest.mark.parametrize("name", ["line break in front", "junk before the frame", "webp with exif", "animated png"])
def test_what_can_be_cut_is_not_encoded_again(name: str) -> None:
    suffix, content = UNUSUAL[name]()
    verdict = Judge().judge(f"x.{suffix}", content)
    assert verdict.suffix == suffix
    middle = len(verdict.content) // 2
    assert verdict.content[middle - 100 : middle + 100] in content
    assert len(verdict.content) < len(content)


def test_exif_of_webp_goes_whatever_its_orientation_is_and_with_the_rotation_asked_for() -> None:
    content = drawn(1, "WEBP", lossless=True, exif=exif(6))
    fixed = Judge().judge("x.webp", content).content
    assert np.array_equal(pixels(fixed), pixels(content))
    assert b"EXIF" not in fixed
    baked = Judge(policy=parse_policy(["rotated=bake"])).judge("x.webp", content).content
    assert np.array_equal(pixels(baked), np.rot90(pixels(content), -1))


def test_a_webp_without_exif_is_a_valid_file_again() -> None:
    plain, content = drawn(1, "WEBP", icc_profile=b"x" * 33), drawn(1, "WEBP", icc_profile=b"x" * 33, exif=exif())
    assert webp.without_exif(content) == plain
    assert webp.oddity(plain) is None


@pytest.mark.parametrize("name", [name for name in KINDS if "exif" not in name and "animated png" not in name])
def test_usual_pictures_are_not_called_odd(name: str) -> None:
    content = KINDS[name](3)
    assert Trouble.UNUSUAL not in {finding.trouble for finding in inspect(content, "x.png").findings}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_rows_of_every_kind_of_png_are_counted(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (13, 7)).save(buffer, "PNG")
    assert png.oddity(buffer.getvalue()) is None
    cut = png.num_data_bytes(buffer.getvalue()[:19] + b"\x0e" + buffer.getvalue()[20:])
    assert cut >= png.num_data_bytes(buffer.getvalue())


def test_bit_rot_is_still_left_out_unless_asked_for() -> None:
    content = bytearray(drawn(1, "JPEG", quality=95))
    content[-60:-30] = b"\xff\x00\x12" * 10
    assert Judge().judge("x.jpg", bytes(content)).suffix is None
    kept = Judge(policy=parse_policy(["corrupt=fix"])).judge("x.jpg", bytes(content))
    assert kept.suffix == "png"
    assert np.array_equal(pixels(kept.content), pixels(bytes(content)))
    assert Judge(policy=parse_policy(["corrupt=fix"])).judge("x.png", drawn(1, "PNG")[:90]).suffix is None


@pytest.mark.parametrize(
    ("kind", "save", "suffix"),
    [("AVIF", {}, "avif"), ("JPEG2000", {}, "jp2"), ("TIFF", {"big_tiff": True}, "tiff"), ("PPM", {}, "ppm")],
)
def test_formats_that_pillow_reads_are_said_and_become_png(kind: str, save: dict[str, Any], suffix: str) -> None:
    content = drawn(1, kind, **save)
    verdict = Judge().judge("x.jpg", content)
    assert [(event["trouble"], event["detail"]) for event in verdict.events] == [("rare-format", suffix)]
    assert verdict.suffix == "png"
    assert np.array_equal(pixels(verdict.content), pixels(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC, which is not read here"),
        (b"\0\0\0\x18ftypqt  " + bytes(40), "a film or picture container"),
        (b"%PDF-1.4 \xff\xd8\xff\xe0", "a PDF"),
        (b"PK\x03\x04" + bytes(40), "a zip archive"),
        (b"\x1f\x8b\x08" + bytes(40), "a gzip file"),
        (b"8BPS" + bytes(40), "a Photoshop file"),
    ],
)
def test_other_files_are_said_to_be_what_they_are(content: bytes, said: str) -> None:
    (finding,) = inspect(content, "x.jpg").findings
    assert (finding.trouble, finding.detail.startswith(said)) == (Trouble.NOT_AN_IMAGE, True)


@pytest.mark.parametrize(
    "text", [b"P1\n2 2\n1 0 0 1\n", b"P2\n2 2\n255\n1 2 3 4\n", b"P4\n8 1\n\xaa", b"P5 2 1 255 ab"]
)
def test_netpbm_is_known_in_all_its_kinds(text: bytes) -> None:
    assert Judge().judge("x.pgm", text).suffix == "png"


def test_stretched_pictures_are_too_large() -> None:
    for size in ((6500, 1), (1, 6500)):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, "PNG")
        (finding,) = inspect(buffer.getvalue(), "x.png").findings
        assert (finding.trouble, finding.detail) == (Trouble.TOO_LARGE, f"{size[0]} x {size[1]} pixels")


def test_policies_of_sets_built_before_are_described_as_then() -> None:
    assert "unusual" not in Policy().describe()
    assert "unusual=keep" in parse_policy(["unusual=keep"]).describe()


def test_libtiff_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    content = drawn(1, "TIFF", compression="tiff_lzw")
    inspect(content[: len(content) // 2] + bytes(9) + content[len(content) // 2 :], "x.tif")
    inspect(content[:-30], "x.tif")
    assert capfd.readouterr().err == ""
