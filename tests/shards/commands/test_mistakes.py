"""What a person can get wrong on the command line, or find broken on a disk: one line, nothing lost, no traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tars import write_tar

from shards.__main__ import main
from shards.building.crew import Crew
from shards.commands import build, index
from shards.errors import ShardError, run_command
from shards.host.local_pool import local_pool
from shards.sources.hf_rows import picture_bytes
from shards.tars.manifest import parse_manifest

Make = Callable[..., bytes]
Call = Callable[..., tuple[int, str]]
Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], inline_crew: Crew) -> Call:
    """Runs a command line in this process; gives the exit code and what was said on standard error."""
    monkeypatch.setattr(build, "local_crew", lambda workers: nullcontext(inline_crew))
    monkeypatch.setattr(index, "local_pool", lambda workers: nullcontext(inline_crew.executor))

    def run(*args: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["shards", *map(str, args)])
        return run_command(main), capsys.readouterr().err

    return run


@pytest.fixture
def tree(tmp_path: Path, make_tree: Callable[..., Path]) -> Path:
    return make_tree(tmp_path / "tree", {"cat": 3, "dog": 3})


@pytest.mark.parametrize("out", ["", "out", "cat/deep"])
def test_out_inside_of_a_folder_that_is_read_is_refused(call: Call, tree: Path, files_of: Files, out: str) -> None:
    before = files_of(tree)
    code, said = call("build", tree, tree / out)
    assert (code, "OUT lies where SRC is read" in said) == (2, True)
    assert files_of(tree) == before


def test_tars_are_never_built_over_themselves(call: Call, tmp_path: Path, make_picture: Make, files_of: Files) -> None:
    (tmp_path / "wds").mkdir()
    for number in range(2):
        write_tar(tmp_path / "wds" / f"shard-00000{number}.tar", [(f"{number}.jpg", make_picture(number))])
    (tmp_path / "link").symlink_to(tmp_path / "wds")
    before = files_of(tmp_path / "wds")
    for src in ("wds", "link", "wds/shard-000000.tar"):
        code, said = call("build", tmp_path / src, tmp_path / "wds", "--num-shards", 1, "--overwrite")
        assert (code, "OUT lies where SRC is read" in said) == (2, True)
    assert files_of(tmp_path / "wds") == before


def test_a_folder_that_cannot_be_read_stops_the_scan(
    call: Call, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    code, said = call("build", tree, tmp_path / "out")
    assert (code, said) == (2, f"error: {tree / 'dog'}: Permission denied\n")


def test_a_pipe_is_passed_over_and_a_link_to_nowhere_is_for_the_policy(call: Call, tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "cat" / "pipe.jpg")
    (tree / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    code, said = call("build", tree, tmp_path / "out")
    assert (code, "dog/gone.jpg: unreadable" in said) == (2, True)
    code, said = call("build", tree, tmp_path / "out", "--on", "unreadable=quarantine")
    assert (code, "1 files are not named like pictures" in said) == (3, True)


def test_a_link_to_a_folder_above_is_named(call: Call, tree: Path, tmp_path: Path) -> None:
    (tree / "cat" / "loop").symlink_to(tree)
    code, said = call("build", tree, tmp_path / "out")
    assert (code, f"{tree}/cat/loop: a link that leads back" in said) == (2, True)


@pytest.mark.parametrize("label", [b"-5", b"99999999999999999999", b"3000000000", b"10000001", b"dog", b""])
@pytest.mark.parametrize("command", ["build", "index"])
def test_labels_that_are_no_class_are_named(
    call: Call, tmp_path: Path, make_picture: Make, command: str, label: bytes
) -> None:
    (tmp_path / "in").mkdir()
    write_tar(tmp_path / "in" / "x.tar", [("1.jpg", make_picture(1)), ("1.cls", label)])
    code, said = call(command, tmp_path / "in", *([tmp_path / "out"] if command == "build" else []))
    assert (code, "x.tar!1.cls: a label is not a number of a class" in said) == (2, True)


@pytest.mark.parametrize("command", ["build", "index"])
def test_a_tar_cut_in_a_header_is_named(call: Call, tmp_path: Path, make_picture: Make, command: str) -> None:
    (tmp_path / "in").mkdir()
    tar = tmp_path / "in" / "x.tar"
    write_tar(tar, [("1.jpg", make_picture(1)), ("2.jpg", make_picture(2))])
    tar.write_bytes(tar.read_bytes()[: 512 + -(-len(make_picture(1)) // 512) * 512 + 100])
    code, said = call(command, tmp_path / "in", *([tmp_path / "out"] if command == "build" else []))
    assert (code, "x.tar: tar ends in the middle of a header, found 100 of 512 bytes" in said) == (2, True)


@pytest.mark.parametrize("name", [b"cl\xff", b"a\nb"])
def test_class_names_that_cannot_be_written_are_refused_before_any_work(
    call: Call, tree: Path, tmp_path: Path, make_picture: Make, name: bytes
) -> None:
    folder = tree / os.fsdecode(name)
    folder.mkdir()
    (folder / "1.jpg").write_bytes(make_picture(1))
    code, said = call("build", tree, tmp_path / "out")
    assert (code, "a class name that cannot be written" in said) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--max-pixels", "--shard-mib"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0"])
def test_numbers_that_are_no_size_are_refused(call: Call, tree: Path, flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        call("build", tree, tree.parent / "out", flag, value)
    assert ended.value.code == 2


def test_more_workers_than_any_machine_has_are_refused(call: Call, tree: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        call("build", tree, tree.parent / "out", "--workers", 100_000)
    assert ended.value.code == 2


def test_files_that_are_not_what_they_are_named_are_said(call: Call, tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    (tmp_path / "parquet" / "a.parquet").write_text("x")
    code, said = call("build", tmp_path / "parquet", tmp_path / "out")
    assert (code, "a.parquet: a damaged parquet file" in said) == (2, True)
    (tmp_path / "arrow").mkdir()
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / "arrow" / name).write_text("{")
    code, said = call("build", tmp_path / "arrow", tmp_path / "out")
    assert (code, "state.json: not JSON" in said) == (2, True)
    (tmp_path / "names").write_bytes(b"\xff\xfe")
    code, said = call("index", tmp_path, "--classes", tmp_path / "names")
    assert (code, "names: not a text file in UTF-8, found byte 0" in said) == (2, True)


def test_damaged_rows_of_a_parquet_file_are_for_the_policy(call: Call, tmp_path: Path, make_picture: Make) -> None:
    rows = [{"bytes": make_picture(number, size=(200, 150)), "path": f"{number}.jpg"} for number in range(4)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": rows}), path, row_group_size=1, compression="zstd")
    columns = [pq.ParquetFile(path).metadata.row_group(2).column(number) for number in range(2)]
    starts = {column.path_in_schema: column.dictionary_page_offset or column.data_page_offset for column in columns}
    sound = path.read_bytes()

    def damage(column: str) -> None:
        path.write_bytes(sound[: starts[column]] + bytes(40) + sound[starts[column] + 40 :])

    damage("image.path")
    code, said = call("build", path, tmp_path / "out")
    assert (code, f"{path}: a damaged parquet file" in said) == (2, True), said
    damage("image.bytes")
    code, said = call("build", path, tmp_path / "out")
    assert (code, "2.jpg: unreadable" in said) == (2, True), said
    assert call("build", path, tmp_path / "out", "--on", "unreadable=quarantine")[0] == 3


def test_what_arrow_says_of_a_row_is_an_error_that_the_policy_decides_on(tmp_path: Path) -> None:
    def read_row() -> object:
        raise pa.ArrowInvalid("offsets beyond the buffer")

    with pytest.raises(OSError, match="offsets beyond the buffer"):
        picture_bytes(read_row, tmp_path)


def test_huge_labels_of_parquet_files_are_refused(call: Call, tmp_path: Path, make_picture: Make) -> None:
    image = [{"bytes": make_picture(1), "path": "1.jpg"}]
    pq.write_table(pa.table({"image": image, "label": [2_000_000_000]}), tmp_path / "a.parquet")
    code, said = call("build", tmp_path / "a.parquet", tmp_path / "out")
    assert (code, "a label is not a number of a class" in said) == (2, True)


def test_a_manifest_without_shards_is_refused(tmp_path: Path, tree: Path, call: Call) -> None:
    assert call("build", tree, tmp_path / "out")[0] == 0
    content = (tmp_path / "out" / "manifest.json").read_bytes()
    cut = content[: content.index(b'"shards"')] + b'"shards": []}'
    with pytest.raises(ShardError, match="names no shards"):
        parse_manifest(cut, where="manifest.json")


def test_a_worker_that_dies_is_said_by_every_command() -> None:
    with pytest.raises(ShardError, match="a worker process died"), local_pool(1) as executor:
        executor.submit(os._exit, 1).result()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_nobodys_trouble(call: Call, tree: Path, tmp_path: Path, closed: str) -> None:
    assert call("build", tree, tmp_path / "out")[0] == 0
    line = f"{sys.executable} -m shards check {tmp_path}/out --workers 1 {closed}"
    assert subprocess.run(line, shell=True, cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_demo_says_what_the_system_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-m", "shards", "demo", str(tmp_path / "file"), "--train", "2", "--validation", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {tmp_path}/file/train/.build: Not a directory; "
        "a file lies where a folder is wanted: choose another path\n",
    )


def test_a_member_name_that_is_no_utf8_is_escaped_in_the_index(call: Call, tmp_path: Path, make_picture: Make) -> None:
    write_tar(tmp_path / "x.tar", [("caf\udce9.jpg", make_picture(1))])
    assert call("index", tmp_path)[0] == 0
    assert b"caf%DCE9.jpg" in (tmp_path / "x.idx").read_bytes()
    assert io.BytesIO((tmp_path / "x.idx").read_bytes()).readline() == b"v1.2 1\n"


def test_nothing_is_written_when_a_later_split_is_refused(
    call: Call, tmp_path: Path, make_tree: Callable[..., Path]
) -> None:
    make_tree(tmp_path / "in" / "train", {"cat": 3})
    make_tree(tmp_path / "in" / "val", {"cat": 1, "dog": 1})
    code, said = call("build", tmp_path / "in", tmp_path / "out")
    assert (code, "classes that the training split does not have, found dog" in said) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "said"), [(28, "free some or choose another disk"), (20, "a file lies")])
def test_what_the_disk_refuses_has_a_place_and_a_fix(
    call: Call, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("shards.building.build.write_whole", refuse, raising=False)
    monkeypatch.setattr("shards.host.atomic.write_whole", refuse)
    monkeypatch.setattr("shards.building.shard_task.write_whole", refuse)
    code, line = call("build", tree, tmp_path / "out")
    assert (code, line.splitlines()[-1].startswith(f"error: {tmp_path / 'out'}: {os.strerror(number)}; {said}")) == (
        2,
        True,
    ), line


@pytest.mark.parametrize("command", [("build", "out"), ("stage", "out")])
def test_a_url_at_which_nobody_answers_is_named(call: Call, tmp_path: Path, command: tuple[str, str]) -> None:
    code, said = call(command[0], "http://127.0.0.1:9/pets", tmp_path / command[1])
    assert (code, "http://127.0.0.1:9/pets" in said, "check the address" in said) == (2, True, True), said
    assert "no pictures" not in said


def test_names_that_the_terminal_cannot_spell_stop_nothing(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    make_tree(tmp_path / "in", {"caf\u00e9": 2, "dog": 2})
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[3])}
    for line in (["build", str(tmp_path / "in"), str(tmp_path / "out")], ["info", str(tmp_path / "out")]):
        command = [sys.executable, "-m", "shards", *line]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert "classes  2: caf\\xe9 dog" in done.stdout


def test_a_contact_sheet_says_how_many_classes_it_shows(
    tmp_path: Path,
    make_tree: Callable[..., Path],
    run_build: Callable[..., object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from shards.sources.folders import ClassFolders

    run_build(ClassFolders(root=make_tree(tmp_path / "in", {f"c{k}": 1 for k in range(5)})), tmp_path / "out")
    sheet = tmp_path / "sheet.png"
    monkeypatch.setattr(
        "sys.argv", ["shards", "info", str(tmp_path / "out"), "--picture", str(sheet), "--max-classes", "3"]
    )
    assert run_command(main) == 0
    assert "sheet-out.png, 3 of 5 classes; --max-classes 5 draws all" in capsys.readouterr().out


def test_rows_without_a_path_are_not_called_misnamed(call: Call, tmp_path: Path, make_picture: Make) -> None:
    pictures = [{"bytes": make_picture(number), "path": None} for number in range(3)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(pictures, kind)}), tmp_path / "train-0.parquet")
    assert call("build", tmp_path / "train-0.parquet", tmp_path / "out")[0] == 0
    assert not (tmp_path / "out" / "errors.jsonl").exists()


def test_nobody_reading_what_is_said_is_no_mistake() -> None:
    script = (
        "import sys\n"
        "from shards.errors import run_command\n"
        "def main():\n"
        "    for _ in range(5000):\n"
        "        print('x' * 200, flush=True)\n"
        "sys.exit(run_command(main))\n"
    )
    pipe, root = subprocess.PIPE, Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, cwd=root) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.read(10)
        done.stdout.close()
        assert done.stderr.read() == b""
    assert done.returncode == 141
