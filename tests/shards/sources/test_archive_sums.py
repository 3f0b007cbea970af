"""Published checksums of archives: a match is said, a difference stops before anything is written."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.commands.build import verify_archives
from shards.errors import ShardError
from shards.sources.ilsvrc import PUBLISHED_MD5, archives_of, unknown_lines, verify
from shards.sources.recognise import recognise

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


def tar_of(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def downloads(tmp_path: Path, make_picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small training and validation archive, whose md5 are the published ones for this test."""
    inner = tar_of([("n01440764_1.JPEG", make_picture(1))])
    (tmp_path / TRAIN).write_bytes(tar_of([("n01440764.tar", inner)]))
    (tmp_path / VALIDATION).write_bytes(tar_of([("ILSVRC2012_val_00000001.JPEG", make_picture(2))]))
    for name in (TRAIN, VALIDATION):
        monkeypatch.setitem(PUBLISHED_MD5, name, hashlib.md5((tmp_path / name).read_bytes()).hexdigest())
    return tmp_path


def test_the_published_sums_are_those_of_image_net_org() -> None:
    assert PUBLISHED_MD5 == {
        "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
        "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
        "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
    }


def test_every_archive_is_said_to_be_verified_or_not_checked(
    downloads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (downloads / "my-classes.txt").write_text("n01440764\n")
    verify_archives(list(recognise(downloads, labels=downloads / "my-classes.txt").values()))
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "not checked, no md5 is published for a file of that name: my-classes.txt",
        f"verified: {downloads / TRAIN}: md5 is the published one",
        f"verified: {downloads / VALIDATION}: md5 is the published one",
    ]
    assert f"md5 of {TRAIN}: 0.00/0.00 GB" in printed.err


def test_a_flipped_byte_is_an_error_with_both_sums(downloads: Path) -> None:
    content = bytearray((downloads / VALIDATION).read_bytes())
    content[700] ^= 1
    (downloads / VALIDATION).write_bytes(content)
    with pytest.raises(ShardError) as error:
        verify_archives(list(recognise(downloads).values()))
    found, expected = hashlib.md5(content).hexdigest(), PUBLISHED_MD5[VALIDATION]
    assert f"{VALIDATION}: md5 is not the published one, found {found}, expected {expected}" in str(error.value)


def test_progress_adds_up_to_the_size(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.sources.ilsvrc.CHUNK", 1000)
    told: list[int] = []
    verify(downloads / TRAIN, on_bytes=told.append)
    assert sum(told) == (downloads / TRAIN).stat().st_size
    assert len(told) > 2


def test_folders_have_no_archives_and_many_unknown_ones_take_one_line(tree: Path, tmp_path: Path) -> None:
    assert archives_of(recognise(tree)[""]) == ()
    names = [Path(f"n{number}.tar") for number in range(1000)]
    (line,) = unknown_lines(names)
    assert line.endswith("n0.tar, n1.tar, n2.tar and 997 more")
