"""Inspecting and mending single pictures. Pillow decodes what was mended and says whether pixels changed."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from shards.pictures import mend
from shards.pictures.inspect import inspect
from shards.pictures.jpeg import read_header
from shards.pictures.resize import Resize, resized
from shards.pictures.sniff import named_suffix
from shards.pictures.troubles import Trouble

Make = Callable[..., bytes]


def troubles(content: bytes, name: str = "x.jpg", **options: int) -> list[Trouble]:
    return [finding.trouble for finding in inspect(content, name, **options).findings]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def rotated(make_picture: Make, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return make_picture(1, exif=exif)


@pytest.mark.parametrize("save", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_sound_pictures_have_no_trouble_and_known_sizes(make_picture: Make, mode: str, save: dict[str, object]) -> None:
    seen = inspect(make_picture(0, mode=mode, **save), "a/b.JPEG")
    assert (seen.suffix, seen.width, seen.height, seen.findings) == ("jpg", 24, 16, ())


def test_every_cut_is_noticed(make_picture: Make) -> None:
    content = make_picture(0, size=(40, 40))
    for end in range(len(content)):
        assert troubles(content[:end])[0] in {Trouble.EMPTY, Trouble.NOT_AN_IMAGE, Trouble.TRUNCATED, Trouble.CORRUPT}


def test_a_cut_in_the_scan_is_called_truncated(make_picture: Make) -> None:
    content = make_picture(0, size=(40, 40))
    assert troubles(content[:-2]) == troubles(content[: len(content) * 3 // 4]) == [Trouble.TRUNCATED]


@pytest.mark.parametrize(
    ("content", "trouble", "detail"),
    [
        (b"", Trouble.EMPTY, ""),
        (b"<!DOCTYPE html><p>404", Trouble.NOT_AN_IMAGE, "a web page or XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid", Trouble.NOT_AN_IMAGE, "Git LFS pointer"),
        (b"\xff\xd8\xff\xd9", Trouble.CORRUPT, "no frame header"),
        (b"\x89PNG\r\n\x1a\nrubbish", Trouble.CORRUPT, "UnidentifiedImageError"),
    ],
)
def test_what_is_no_picture_is_described(content: bytes, trouble: Trouble, detail: str) -> None:
    (finding,) = inspect(content, "x.png" if content.startswith(b"\x89") else "x.jpg").findings
    assert finding.trouble == trouble
    assert detail in finding.detail


def test_formats_under_another_name_are_noticed(make_picture: Make) -> None:
    assert troubles(make_picture(0, kind="PNG"), "x.JPEG") == [Trouble.MISNAMED]
    assert troubles(make_picture(0, kind="WEBP"), "x.JPEG") == [Trouble.MISNAMED]
    assert troubles(make_picture(0, kind="PNG"), "x.PNG") == []
    assert troubles(make_picture(0), "x.jpeg") == troubles(make_picture(0), "x.JPE") == []
    assert troubles(make_picture(0), "noname") == troubles(make_picture(0), "x.parquet/000000012") == []


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM"])
def test_rare_formats_become_png_with_the_same_pixels(make_picture: Make, kind: str) -> None:
    content = make_picture(0, kind=kind, mode="L")
    assert troubles(content, f"x.{kind}") == [Trouble.RARE_FORMAT]
    before, after = (np.asarray(Image.open(io.BytesIO(c)).convert("RGB")) for c in (content, mend.to_png(content)))
    assert np.array_equal(before, after)


def test_sixteen_bits_become_the_upper_eight() -> None:
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    assert troubles(buffer.getvalue(), "x.png") == [Trouble.SIXTEEN_BIT]
    assert np.array_equal(pixels(mend.to_png(buffer.getvalue())), (values // 256).astype(np.uint8))


def test_cmyk_becomes_rgb_like_pillows_conversion(make_picture: Make) -> None:
    content = make_picture(0, mode="CMYK")
    assert troubles(content) == [Trouble.CMYK]
    oracle = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=int)
    assert np.abs(pixels(mend.to_rgb_jpeg(content)) - oracle).mean() < 6


@pytest.mark.parametrize("orientation", range(2, 9))
def test_rotation_is_stripped_without_loss_or_baked_like_pillow(make_picture: Make, orientation: int) -> None:
    content = rotated(make_picture, orientation)
    assert troubles(content) == [Trouble.ROTATED]
    stripped = mend.strip_exif(content, "jpg")
    assert troubles(stripped) == []
    assert np.array_equal(pixels(stripped), pixels(content))
    upright = mend.upright(content, "jpg")
    oracle = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))), dtype=int)
    assert troubles(upright) == []
    assert np.abs(pixels(upright) - oracle).mean() < 6


def test_orientation_one_and_other_exif_are_left_alone(make_picture: Make) -> None:
    assert troubles(rotated(make_picture, 1)) == []


def test_pixel_limit_is_checked_before_decoding(make_picture: Make) -> None:
    assert troubles(make_picture(0), max_pixels=24 * 16) == []
    assert troubles(make_picture(0), max_pixels=24 * 16 - 1) == [Trouble.TOO_LARGE]
    bomb = bytearray(make_picture(0))
    at = bomb.index(b"\xff\xc0")
    bomb[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    assert troubles(bytes(bomb)) == [Trouble.TOO_LARGE]


def test_header_agrees_with_pillow(make_picture: Make) -> None:
    header = read_header(make_picture(0, size=(31, 57), mode="L", progressive=True))
    assert header is not None
    assert (header.width, header.height, header.num_components, header.precision) == (31, 57, 1, 8)


def test_resize_shrinks_to_the_short_side_and_leaves_small_pictures(make_picture: Make) -> None:
    resize = Resize(short_side=32, quality=90)
    assert resized("png", make_picture(0, kind="PNG"), resize) == ("png", make_picture(0, kind="PNG"))
    suffix, small = resized("jpg", make_picture(0, size=(128, 64)), resize)
    assert (suffix, Image.open(io.BytesIO(small)).size) == ("jpg", (64, 32))


def test_named_suffix_reads_the_last_dot_of_the_file_name_only() -> None:
    assert [named_suffix(name) for name in ("a.b/c", "a/b.c.JPEG", "x.TIF")] == ["", "jpg", "tiff"]
