"""From the hub in one command: splits kept apart, checksums compared, gone on with after a break, refusals in words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hub import Hub, serving
from tars import write_tar

from shards.__main__ import main
from shards.building.crew import Crew
from shards.commands import fetch
from shards.errors import run_command
from shards.sources.folders import ClassFolders
from shards.tars.manifest import read_manifest
from shards.tars.shardset import load_shard_set

Make = Callable[..., bytes]
Call = Callable[..., tuple[int, str, str]]
PLACE = "hf://datasets/timm/tiny-wds"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], inline_crew: Crew) -> Call:
    """Runs `shards fetch` in this process; gives the exit code and what was said on both streams."""
    monkeypatch.setattr(fetch, "local_pool", lambda workers: nullcontext(inline_crew.executor))
    monkeypatch.setattr("shards.remote.hub.FIRST_PAUSE", 0.01)

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["shards", "fetch", *map(str, args)])
        return run_command(main), *capsys.readouterr()

    return run


@pytest.fixture
def hub(tmp_path: Path, make_picture: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A set as timm publishes them: tars of two splits side by side, `_info.json`, a README."""
    root, splits = tmp_path / "hub", {}
    root.mkdir()
    for split, count in (("train", 3), ("validation", 1)):
        names = [f"tiny-{split}-{number:04d}.tar" for number in range(count)]
        for number, name in enumerate(names):
            parts = []
            for k in range(4):
                key = f"n0144{number}_{split}_{k}"
                parts += [(f"{key}.jpg", make_picture(50 * number + k, size=(64, 48))), (f"{key}.cls", b"%d" % k)]
            write_tar(root / name, parts)
        splits[split] = {"name": split, "num_samples": 4 * count, "filenames": names}
    (root / "_info.json").write_text(json.dumps({"splits": splits}))
    (root / "README.md").write_text("tiny")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with serving(Hub(root=root, repo="timm/tiny-wds")) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def counts(root: Path) -> dict[str, int]:
    found = {path.name: read_manifest(path) for path in sorted(root.iterdir()) if path.is_dir()}
    return {name: manifest.num_samples for name, manifest in found.items() if manifest is not None}


def test_one_command_fetches_and_indexes_each_split(call: Call, hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, _ = call(PLACE, out)
    assert (code, counts(out)) == (0, {"train": 12, "validation": 4})
    assert f"--data.train {out / 'train'} --data.validation {out / 'validation'}" in said
    assert [(out / "train" / f"tiny-train-000{k}.tar").read_bytes() for k in range(3)] == [
        (hub.root / f"tiny-train-000{k}.tar").read_bytes() for k in range(3)
    ]
    info = json.loads((out / "_info.json").read_text())["splits"]
    assert info["validation"]["filenames"] == ["validation/tiny-validation-0000.tar"]
    before, num_asked = (out / "train" / "manifest.json").read_bytes(), len(hub.asked)
    code, said, _ = call(PLACE, out)
    assert (code, "fetched: 0 tars, the others were there" in said) == (0, True)
    assert [name for name, _ in hub.asked[num_asked:]] == ["_info.json"]
    assert (out / "train" / "manifest.json").read_bytes() == before


def test_a_broken_connection_and_a_killed_run_go_on_within_a_file(call: Call, hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = [2000, 1000]
    part = tmp_path / "out" / "validation" / "tiny-validation-0000.tar.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((hub.root / "tiny-validation-0000.tar").read_bytes()[:4096])
    code, _, said = call(PLACE, tmp_path / "out", "--split", "validation", "--threads", 1)
    assert code == 0, said
    ranges = [wanted for name, wanted in hub.asked if name.endswith(".tar")]
    assert ranges == ["bytes=4096-", "bytes=6096-", "bytes=7096-"]
    assert counts(tmp_path / "out") == {"validation": 4}


def test_other_bytes_than_the_hub_promised_are_refused(call: Call, hub: Hub, tmp_path: Path) -> None:
    hub.damaged = {"tiny-train-0001.tar"}
    code, _, said = call(PLACE, tmp_path / "out")
    assert (code, "tiny-train-0001.tar: arrived with another checksum, found" in said) == (2, True)
    assert not (tmp_path / "out" / "train" / "tiny-train-0001.tar").exists()
    assert counts(tmp_path / "out") == {}
    hub.damaged = set()
    assert call(PLACE, tmp_path / "out")[0] == 0


def test_a_tar_changed_since_it_was_fetched_is_found(call: Call, hub: Hub, tmp_path: Path) -> None:
    assert call(PLACE, tmp_path / "out")[0] == 0
    tar = tmp_path / "out" / "train" / "tiny-train-0000.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"\1")
    (tmp_path / "out" / "train" / "manifest.json").unlink()
    code, _, said = call(PLACE, tmp_path / "out")
    assert (code, "tiny-train-0000.tar: no longer what was fetched" in said) == (2, True)


def test_terms_and_tokens_are_explained(call: Call, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "secret-of-the-test"
    code, _, said = call(PLACE, tmp_path / "out")
    assert code == 2
    assert said.startswith(f"error: {PLACE}: its owner asks you to accept terms first; accept them at https://")
    assert "hf auth login, or set HF_TOKEN" in said
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert call(PLACE, tmp_path / "out", "--split", "validation")[0] == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("hf://datasets/timm/other", "out"), "no such data set, or none that you may see; check the name"),
        ((PLACE, "out", "--revision", "gone"), "no such revision; check --revision"),
        ((PLACE, "out", "--split", "test"), "--split: no such split, found test, expected train or validation"),
        ((PLACE, "out", "--include", "x*"), "--include: fits no tar, found x*"),
        (("hf://timm/tiny-wds", "out"), "not a data set of the hub, expected hf://datasets/OWNER/NAME; python -m"),
        (("s3://bucket/x", "out"), "not a data set of the hub"),
    ],
)
def test_mistakes_are_named(
    call: Call, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = call(*args)
    assert (code, message in said) == (2, True), said
    assert said.count("\n") == 1


def test_a_hub_that_does_not_answer_is_named(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, _, said = call(PLACE, tmp_path / "out")
    assert (code, "the hub does not answer, found" in said, "HF_ENDPOINT" in said) == (2, True, True), said


def test_sets_without_tars_say_what_to_do_instead(call: Call, hub: Hub, tmp_path: Path) -> None:
    for path in [*hub.root.glob("*.tar"), hub.root / "_info.json"]:
        path.unlink()
    (hub.root / "data").mkdir()
    (hub.root / "data" / "train-0.parquet").write_bytes(b"x")
    code, _, said = call(PLACE, tmp_path / "out")
    assert code == 2
    assert "no WebDataset tars, found .md (1x), .parquet (1x); for parquet or pictures: hf download" in said


def test_a_plan_is_said_and_nothing_written(call: Call, hub: Hub, tmp_path: Path) -> None:
    code, said, _ = call(PLACE, tmp_path / "out", "--dry-run")
    assert (code, said.count("plan: ")) == (0, 2)
    assert not (tmp_path / "out").exists()


def test_a_split_by_another_name_than_a_folder_can_have_is_refused(call: Call, hub: Hub, tmp_path: Path) -> None:
    (hub.root / "_info.json").write_text('{"splits": {"../../x": {"filenames": ["tiny-train-0000.tar"]}}}')
    code, _, said = call(PLACE, tmp_path / "out")
    assert (code, "a split whose name is none for a folder, found '../../x'" in said) == (2, True)


def test_pictures_at_the_hub_are_read_in_place(hub: Hub, tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    """In a process of its own: the file system keeps the address that it was imported with."""
    make_tree(hub.root / "pictures", {"cat": 2, "dog": 1})
    build = [sys.executable, "-m", "shards", "build", f"{PLACE}/pictures", str(tmp_path / "out"), "--workers", "1"]
    done = subprocess.run(build, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert "3 images, 2 classes" in done.stdout


def test_a_set_of_ours_at_the_hub_is_staged(
    hub: Hub, tmp_path: Path, make_tree: Callable[..., Path], run_build: Callable[..., object]
) -> None:
    run_build(ClassFolders(root=make_tree(tmp_path / "in", {"cat": 2, "dog": 1})), hub.root / "ours")
    stage = [sys.executable, "-m", "shards", "stage", f"{PLACE}/ours", str(tmp_path / "out")]
    done = subprocess.run(stage, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert load_shard_set(tmp_path / "out").num_samples == 3
