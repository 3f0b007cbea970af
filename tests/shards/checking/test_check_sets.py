"""One clear line per problem, and an exit code that says so: good, foreign and damaged sets through the command."""

from __future__ import annotations

import gzip
import io
import random
import re
import shutil
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from shards.__main__ import main
from shards.building.crew import Crew
from shards.commands import check as command
from shards.commands import index as index_command
from shards.errors import run_command
from shards.sources.folders import ClassFolders
from shards.tars.manifest import Manifest

Make = Callable[..., bytes]
Members = list[tuple[str, bytes]]
Call = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], inline_crew: Crew) -> Call:
    """Runs a command line in this process; gives the exit code, the problems and all that was printed."""
    for module in (command, index_command):
        monkeypatch.setattr(module, "local_pool", lambda workers: nullcontext(inline_crew.executor))

    def run(*args: object) -> tuple[int, list[str], str]:
        monkeypatch.setattr("sys.argv", ["shards", *map(str, args)])
        code = run_command(main)
        printed = capsys.readouterr()
        problems = [line for line in printed.err.splitlines() if line.startswith(("warning: ", "error: "))]
        return code, [line.partition(": ")[2] for line in problems], printed.out + printed.err

    return run


def write_tar(path: Path, members: Members, kind: int = tarfile.USTAR_FORMAT) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 0.5 if kind == tarfile.PAX_FORMAT else 0
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def members(make_picture: Make) -> Callable[..., Members]:
    """Samples number `first` to `last`, with labels or without."""

    def make(first: int, last: int, *, suffix: str = "jpg", labels: bool = True) -> Members:
        parts: Members = []
        for number in range(first, last):
            parts.append((f"{number:04d}.{suffix}", make_picture(number)))
            parts += [(f"{number:04d}.cls", b"%d" % (number % 3))] if labels else []
        return parts

    return make


FOREIGN: dict[str, tuple[list[str], Callable[[Path, Callable[..., Members]], None]]] = {
    "sound": ([], lambda root, members: write_tar(root / "a.tar", members(0, 9))),
    "PAX headers": ([], lambda root, members: write_tar(root / "a.tar", members(0, 9), tarfile.PAX_FORMAT)),
    "without labels": ([], lambda root, members: write_tar(root / "a.tar", members(0, 9, labels=False))),
    "jpeg for jpg": (
        [r"0 samples have \.jpg; found \.jpeg \(9x\): DALI and others match suffixes letter by letter"],
        lambda root, members: write_tar(root / "a.tar", members(0, 9, suffix="jpeg")),
    ),
    "upper case": (
        [r"0 samples have \.jpg; found \.JPG \(9x\)", "upper-case suffixes"],
        lambda root, members: write_tar(root / "a.tar", members(0, 9, suffix="JPG")),
    ),
    "keys twice": (
        [r"4 of 14 keys occur more than once, such as 000\d in a.tar and b.tar"],
        lambda root, members: (
            write_tar(root / "a.tar", members(0, 9)),
            write_tar(root / "b.tar", members(5, 14)),
        ),
    ),
    "parts apart": (
        [
            "1 of 9 keys occur more than once, such as 0000 apart in a.tar",
            "1 of 10 samples have no picture",
            r"1 of 10 samples have no \.cls",
        ],
        lambda root, members: write_tar(root / "a.tar", [*members(0, 9)[1:], members(0, 1)[0]]),
    ),
    "some labels": (
        [r"2 of 9 samples have no \.cls"],
        lambda root, members: write_tar(root / "a.tar", members(0, 7) + members(7, 9, labels=False)),
    ),
    "a label in words": (
        [r"a.tar: x: label is not a number of 0 or more: b'dog'"],
        lambda root, members: write_tar(
            root / "a.tar", [*members(0, 9), ("x.cls", b"dog"), ("x.jpg", members(0, 1)[0][1])]
        ),
    ),
    "an enormous label": (
        [r"a.tar: 0000: label is not a number of 0 or more: b'99999999999'"],
        lambda root, members: write_tar(root / "a.tar", [members(0, 1)[0], ("0000.cls", b"99999999999")]),
    ),
    "an empty tar": (
        ["b.tar: holds no samples"],
        lambda root, members: (write_tar(root / "a.tar", members(0, 9)), write_tar(root / "b.tar", [])),
    ),
    "an empty file": (
        ["b.tar: is an empty file"],
        lambda root, members: (write_tar(root / "a.tar", members(0, 9)), (root / "b.tar").write_bytes(b"")),
    ),
    "compressed": (
        ["a.tar: compressed with gzip: unpack it"],
        lambda root, members: (
            write_tar(root / "a.tar", members(0, 9)),
            (root / "a.tar").write_bytes(gzip.compress((root / "a.tar").read_bytes())),
        ),
    ),
    "noise": (
        [r"a.tar at byte 0: damaged tar header"],
        lambda root, members: (root / "a.tar").write_bytes(random.Random(1).randbytes(4000)),
    ),
    "cut within a member": (
        [r"a.tar: tar ends in the middle of a member, .* \(at least 3 whole samples before that\)"],
        lambda root, members: (write_tar(root / "a.tar", members(0, 9)), cut(root / "a.tar", 4.3)),
    ),
    "cut between members": (
        [r"a.tar: ends at byte \d+,\d+ without an end mark"],
        lambda root, members: (write_tar(root / "a.tar", members(0, 9)), cut(root / "a.tar", 5)),
    ),
    "pictures that do not decode": (
        ["a.tar: 0000: truncated", "a.tar: 0001: empty", "a.tar: 0002: not-an-image"],
        lambda root, members: write_tar(
            root / "a.tar", [("0000.jpg", members(0, 1)[0][1][:-90]), ("0001.jpg", b""), ("0002.jpg", b"no")]
        ),
    ),
}


def cut(tar: Path, num_samples: float) -> None:
    """Keep so many samples; all are of one size here, but for the pictures' own."""
    with tarfile.open(tar) as file:
        starts = [member.offset for member in file if member.name.endswith(".jpg")]
    whole, part = int(num_samples), num_samples % 1
    end = starts[whole] + int(part * (starts[whole + 1] - starts[whole]))
    tar.write_bytes(tar.read_bytes()[:end])


@pytest.mark.parametrize("name", list(FOREIGN))
def test_foreign_tars(tmp_path: Path, call: Call, members: Callable[..., Members], name: str) -> None:
    expected, make = FOREIGN[name]
    (tmp_path / "set").mkdir()
    make(tmp_path / "set", members)
    code, problems, printed = call("check", tmp_path / "set", "--full", "--world-size", 2, "--batch-size", 2)
    assert_lines(problems, expected)
    assert code == (1 if expected else 0)
    assert "steps per epoch with 2 x 2 images" in printed
    assert "1 tars with PAX headers" in printed or name != "PAX headers"


def assert_lines(problems: list[str], expected: list[str]) -> None:
    assert len(problems) == len(expected), problems
    for problem, pattern in zip(problems, expected, strict=True):
        assert re.match(pattern, problem), (problem, pattern)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


OWN: dict[str, tuple[list[str], Callable[[Path], object]]] = {
    "sound": ([], lambda out: None),
    "another shard's index": (
        [r"shard-000001.idx: sha256 is .*, the manifest has", r"shard-000001.idx: .*\(and \d+ more differences\)"],
        lambda out: shutil.copy(out / "shard-000000.idx", out / "shard-000001.idx"),
    ),
    "a text for an index": (
        [r"shard-000001.idx: sha256 is", "shard-000001.idx: not a DALI index"],
        lambda out: (out / "shard-000001.idx").write_text("x\n"),
    ),
    "a flipped byte": (
        [r"shard-000002.tar: 0000000\d\d: corrupt", r"shard-000002.tar: sha256 is .*, the manifest has"],
        lambda out: flip(out / "shard-000002.tar", 512 + 200),
    ),
    "files gone": (
        ["shard-000001.tar: named in the manifest but missing", "shard-000002.idx: named in the manifest but missing"],
        lambda out: ((out / "shard-000001.tar").unlink(), (out / "shard-000002.idx").unlink()),
    ),
    "a tar too many": (
        ["zzz.tar: not in the manifest"],
        lambda out: shutil.copy(out / "shard-000000.tar", out / "zzz.tar"),
    ),
    "a cut tar": (
        [r"shard-000001.tar: 4,100 bytes, the manifest has", r"shard-000001.tar: tar ends in the middle"],
        lambda out: (out / "shard-000001.tar").write_bytes((out / "shard-000001.tar").read_bytes()[:4100]),
    ),
    "not finished": (
        ["no manifest.json: the build is not finished; run the same build again"],
        lambda out: (out / "manifest.json").unlink(),
    ),
}


@pytest.fixture
def out(tmp_path: Path, tree: Path, run_build: Callable[..., tuple[Manifest, bool]]) -> Path:
    run_build(ClassFolders(root=tree), tmp_path / "out", shard_mib=0.02)
    return tmp_path / "out"


@pytest.mark.parametrize("name", list(OWN))
def test_own_sets(out: Path, call: Call, name: str) -> None:
    expected, damage = OWN[name]
    damage(out)
    code, problems, printed = call("check", out, "--full")
    assert_lines(problems, expected)
    assert code == (1 if expected else 0)
    assert "bits of class entropy" in printed
    assert "steps per epoch with 1 x 64 images" in printed


def test_quick_finds_all_that_takes_no_reading_and_needs_a_manifest(out: Path, call: Call) -> None:
    code, problems, printed = call("check", out, "--quick")
    assert (code, problems) == (0, [])
    assert "index checksums of 4 shards are those of the manifest" in printed
    (out / "shard-000000.idx").write_text("x\n")
    (out / "shard-000001.tar").unlink()
    code, problems, _ = call("check", out, "--quick")
    assert (code, len(problems)) == (1, 2)
    (out / "manifest.json").unlink()
    code, problems, _ = call("check", out, "--quick")
    assert code == 2
    assert_lines(problems, [".*no manifest.json to compare with; leave --quick out to read the tars"])


def test_a_split_that_is_not_finished_is_not_passed_over(tmp_path: Path, out: Path, call: Call) -> None:
    shutil.copytree(out, tmp_path / "root" / "train")
    shutil.copytree(out, tmp_path / "root" / "validation")
    (tmp_path / "root" / "validation" / "manifest.json").unlink()
    code, problems, printed = call("check", tmp_path / "root")
    assert code == 1
    assert_lines(problems, ["no manifest.json: the build is not finished"])
    assert "sound: tar structure" in printed


def test_a_set_indexed_in_place_is_sound_with_its_suffixes_and_without_its_bad_pictures(
    tmp_path: Path, call: Call, members: Callable[..., Members]
) -> None:
    parts = [*members(0, 9, suffix="JPEG"), ("x.JPEG", b"no"), ("x.cls", b"0")]
    write_tar(tmp_path / "set" / "a.tar", parts, tarfile.PAX_FORMAT)
    assert call("index", tmp_path / "set", "--allow-drops")[0] == 0
    code, problems, printed = call("check", tmp_path / "set", "--full")
    assert (code, problems) == (0, [])
    assert "1 tars, 9 samples" in printed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("info {out} --picture {out}/none/x.png", "No such file or directory"),
        (
            "info {out} --picture x.foo",
            "--picture: no format for a picture, found .foo, expected .png .jpg .jpeg .webp",
        ),
        ("index {out} --classes none.txt", "none.txt: No such file or directory"),
        ("publish {out}/none somewhere", "no manifest.json, expected a finished shard set"),
        ("build {tree} {out}/manifest.json", "manifest.json/.build: Not a directory"),
        ("check {out}/manifest.json", "no such folder, expected a folder of shards"),
        ("check {empty}", "no tars to check, here or one folder below"),
    ],
)
def test_mistakes_are_one_line_with_exit_code_two(
    tmp_path: Path, out: Path, tree: Path, call: Call, line: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    code, problems, printed = call(*line.format(out=out, tree=tree, empty=tmp_path / "empty").split())
    assert code == 2
    assert len(problems) == 1
    assert message in printed


def test_a_contact_sheet_of_damaged_pictures_is_a_clear_error(out: Path, call: Call) -> None:
    for tar in out.glob("*.tar"):
        content = bytearray(tar.read_bytes())
        content[512:1000] = bytes(488)
        tar.write_bytes(content)
    code, problems, _ = call("info", out, "--picture", out / "x.png")
    assert code == 2
    assert_lines(problems, [r".*: a picture does not decode, found .*; python -m shards check .* --full names it"])


def test_a_contact_sheet_is_written(out: Path, call: Call) -> None:
    code, _, printed = call("info", out, "--picture", out / "x")
    assert code == 0
    with Image.open(out / "x-out.png") as sheet:
        assert sheet.size == (160 + 8 * 100, 3 * 100)
    assert "classes  3: ant bee cat" in printed
