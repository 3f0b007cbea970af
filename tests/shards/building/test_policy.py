"""Policies in a build: what is written, what is left out, what is recorded."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.building.events import read_errors
from shards.building.judge import Judge
from shards.building.policy import DEFAULTS, Action, allowed_actions, parse_policy
from shards.errors import ShardError
from shards.pictures.troubles import Trouble
from shards.remote.store import store_at
from shards.sources.folders import FlatFolder
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]


@pytest.fixture
def folder(tmp_path: Path, make_picture: Callable[..., bytes]) -> Path:
    """Three sound pictures, of which two are the same, and one of each of four troubles."""
    root = tmp_path / "photos"
    root.mkdir()
    contents = {
        "a.jpg": make_picture(0),
        "b.jpg": make_picture(1),
        "b_again.jpg": make_picture(1),
        "cut.jpg": make_picture(2)[:-60],
        "empty.jpg": b"",
        "ink.jpg": make_picture(3, mode="CMYK"),
        "png.jpg": make_picture(4, kind="PNG"),
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return root


def names_in(out: Path) -> dict[str, str]:
    """Original name -> suffix that it was stored under."""
    found = {}
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for name, content in members.items():
            if name.endswith(".json"):
                key = name.split(".")[0]
                (suffix,) = (n.split(".")[1] for n in members if n.split(".")[0] == key and not n.endswith(".json"))
                found[json.loads(content)["name"]] = suffix
    return found


def test_defaults_leave_out_what_cannot_be_decoded_and_mend_the_rest(
    tmp_path: Path, folder: Path, run_build: Run
) -> None:
    manifest, _ = run_build(FlatFolder(root=folder), tmp_path / "out")
    assert names_in(tmp_path / "out") == {
        "a.jpg": "jpg",
        "b.jpg": "jpg",
        "b_again.jpg": "jpg",
        "ink.jpg": "jpg",
        "png.jpg": "png",
    }
    assert (manifest.num_samples, manifest.num_dropped) == (5, 2)
    events = {(event["name"], event["trouble"], event["action"]) for event in read_errors(store_at(tmp_path / "out"))}
    assert events == {
        ("b_again.jpg", "duplicate", "kept"),
        ("cut.jpg", "truncated", "quarantined"),
        ("empty.jpg", "empty", "quarantined"),
        ("ink.jpg", "cmyk", "fixed"),
        ("png.jpg", "misnamed", "fixed"),
    }
    (kept,) = (tmp_path / "out" / "quarantine").iterdir()
    assert kept.name.endswith("_cut.jpg")
    assert kept.read_bytes() == (folder / "cut.jpg").read_bytes()


def test_duplicates_can_be_left_out_before_the_plan(tmp_path: Path, folder: Path, run_build: Run) -> None:
    judge = Judge(policy=parse_policy(["duplicate=quarantine"]))
    manifest, _ = run_build(FlatFolder(root=folder), tmp_path / "out", judge=judge)
    assert "b_again.jpg" not in names_in(tmp_path / "out")
    assert (manifest.num_samples, manifest.num_dropped) == (4, 3)


def test_kept_pictures_keep_their_bytes(tmp_path: Path, folder: Path, run_build: Run) -> None:
    judge = Judge(policy=parse_policy(["cmyk=keep", "truncated=keep"]))
    run_build(FlatFolder(root=folder), tmp_path / "out", judge=judge)
    content = next((tmp_path / "out").glob("*.tar")).read_bytes()
    assert (folder / "ink.jpg").read_bytes() in content
    assert (folder / "cut.jpg").read_bytes() in content


@pytest.mark.parametrize(("choice", "name"), [("cmyk=stop", "ink.jpg"), ("duplicate=stop", "b_again.jpg")])
def test_stop_names_the_picture(tmp_path: Path, folder: Path, run_build: Run, choice: str, name: str) -> None:
    with pytest.raises(ShardError, match=rf"{name}: {choice.split('=')[0]}, and the policy for it is to stop"):
        run_build(FlatFolder(root=folder), tmp_path / "out", judge=Judge(policy=parse_policy([choice])))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_build_that_leaves_nothing_is_an_error(tmp_path: Path, run_build: Run) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jpg").write_bytes(b"")
    with pytest.raises(ShardError, match=r"no picture is left after checking.*errors.jsonl"):
        run_build(FlatFolder(root=tmp_path / "in"), tmp_path / "out")


def test_a_file_that_cannot_be_read_stops_or_is_left_out(tmp_path: Path, folder: Path, run_build: Run) -> None:
    (folder / "c.jpg").symlink_to(folder / "a.jpg")
    source = FlatFolder(root=folder)

    class Vanishing(FlatFolder):
        def scan(self):  # type: ignore[no-untyped-def]
            listing = super().scan()
            (folder / "c.jpg").unlink(missing_ok=True)
            return listing

    with pytest.raises(ShardError, match=r"c.jpg: unreadable, and the policy for it is to stop, found .*No such file"):
        run_build(Vanishing(root=folder), tmp_path / "out")
    (folder / "c.jpg").symlink_to(folder / "a.jpg")
    judge = Judge(policy=parse_policy(["unreadable=quarantine"]))
    manifest, _ = run_build(Vanishing(root=folder), tmp_path / "out2", judge=judge)
    assert manifest.num_dropped == 3
    assert len(source.scan()[0]) == 7


@pytest.mark.parametrize("trouble", list(Trouble))
def test_every_trouble_has_an_allowed_default(trouble: Trouble) -> None:
    assert DEFAULTS[trouble] in allowed_actions(trouble)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("cymk=keep", "--on: not a choice, found cymk=keep"),
        ("cmyk", "--on: not a choice"),
        ("truncated=fix", "--on: truncated cannot be met with fix, expected keep or quarantine or stop"),
        ("empty=keep", "--on: empty cannot be met with keep"),
    ],
)
def test_wrong_choices_are_refused(choice: str, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        parse_policy([choice])


def test_choices_change_one_action_only() -> None:
    actions = parse_policy(["rotated=bake"]).actions
    assert {trouble for trouble in Trouble if actions[trouble] != DEFAULTS[trouble]} == {Trouble.ROTATED}
    assert actions[Trouble.ROTATED] == Action.BAKE
