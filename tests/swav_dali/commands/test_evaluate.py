"""`python -m swav_dali` as a person runs it: results beside the weights, files that read back, mistakes in one line."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import training
from pyarrow import parquet
from safetensors import safe_open

from shards.errors import run_command
from shards.tars.shardset import load_shard_set
from swav_dali.__main__ import main
from swav_dali.evaluate.session import Session
from swav_dali.exchange.network import network_of, preprocessing_of
from swav_dali.exchange.weights import read_weights
from swav_dali.model.net import SwavNet
from swav_dali.ranks.world import World


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards/train, shards/validation, photos without labels, and weights.pth."""
    root = tmp_path_factory.mktemp("evaluate")
    training.build_shards(training.draw_splits(root / "pictures", train=20, val=9), root / "shards")
    flat = root / "flat"
    flat.mkdir()
    for path in (root / "pictures" / "train").rglob("*.jpg"):
        (flat / path.name).write_bytes(path.read_bytes())
    training.build_shards(flat, root / "unlabelled")
    (root / "empty").mkdir()
    (root / "weird.txt").write_text("n01440764_10026\nn01440764_1\n")
    torch.manual_seed(0)
    model = SwavNet("tiny", embedding_dim=8, hidden_dim=16, num_prototypes=12)
    torch.save(model.state_dict(), root / "weights.pth")
    model = SwavNet("tiny", embedding_dim=8, hidden_dim=16, num_prototypes=(12, 5))
    torch.save(model.state_dict(), root / "heads.pth")
    return root


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """run(*words): exit code, output and errors of the command line; @ stands for `home`."""

    def run_words(*words: str) -> tuple[int, str, str]:
        sizes = ["--resize", "32", "--size", "32", "--threads", "1"] if words[0] != "export" else []
        monkeypatch.setattr(sys, "argv", ["swav_dali", *(word.replace("@", str(home)) for word in words), *sizes])
        code = run_command(main)
        said = capfd.readouterr()
        return code, said.out, said.err

    return run_words


SPLITS = ("--train", "@/shards/train", "--validation", "@/shards/validation")


def test_linear_and_knn_leave_their_results_beside_the_weights(home: Path, run: Run) -> None:
    code, out, err = run("evaluate", "linear", "@/weights.pth", *SPLITS, "--epochs", "3")
    assert code == 0, err
    result = json.loads((home / "weights.pth.linear.json").read_text())
    assert len(result["heads"]) == 26
    assert result["top1"] == max(head["top1"] for head in result["heads"]) == result["best"]["top1"]
    assert f"{100 * result['top1']:.1f} %" in out
    assert result["data"]["validation"]["images"] == 9
    assert result["options"]["epochs"] == 3
    code, _, err = run("evaluate", "knn", "@/weights.pth", *SPLITS, "--neighbours", "3", "--json", "@/k.json")
    assert code == 0, err
    result = json.loads((home / "k.json").read_text())
    assert set(result["top1"]) == {"3"}
    assert {"command", "versions", "weights"} <= set(result)


def test_fine_tuning_takes_a_share_of_the_labels_or_a_list(home: Path, run: Run) -> None:
    (home / "list.txt").write_text("000000003.jpg\n000000007\n000000011\n000000015\n")
    few = ("--epochs", "2", "--batch-size", "2", "--json", "@/s.json")
    for labels, count in (("0.3", 6), ("@/list.txt", 4)):
        code, out, err = run("evaluate", "semisup", "@/weights.pth", *SPLITS, "--labels", labels, *few)
        assert code == 0, err
        assert f"semisup, {count} labelled images: top-1" in out
        result = json.loads((home / "s.json").read_text())
        assert result["labelled_images"] == count
        assert len(result["losses"]) == 2


def test_the_published_linear_protocol_learns_on_random_crops(home: Path, run: Run) -> None:
    words = ("--published", "--epochs", "6", "--rate", "20", "--batch-size", "4", "--json", "@/l.json")
    code, out, err = run("evaluate", "linear", "@/weights.pth", *SPLITS, *words)
    assert code == 0, err
    assert "linear-published" in out
    losses = json.loads((home / "l.json").read_text())["losses"]
    assert losses[-1] < losses[0]


def test_features_read_back_alike_from_every_format(home: Path, run: Run) -> None:
    for suffix in ("npz", "safetensors", "parquet"):
        code, _, err = run("features", "@/weights.pth", "@/shards/validation", f"@/features.{suffix}")
        assert code == 0, err
    arrays = np.load(home / "features.npz")
    table = parquet.read_table(home / "features.parquet").to_pydict()
    with safe_open(home / "features.safetensors", "np") as tensors:
        for name in ("id", "label", "last", "last_four"):
            np.testing.assert_array_equal(arrays[name], tensors.get_tensor(name))
            np.testing.assert_array_equal(arrays[name], np.array(table[name], arrays[name].dtype))
        assert json.loads(tensors.metadata()["key"]) == table["key"] == arrays["key"].tolist()
    assert arrays["id"].tolist() == list(range(9))
    assert arrays["last"].shape == (9, 256)


def test_assign_writes_a_row_per_image_and_a_page_with_the_pictures_inside(home: Path, run: Run) -> None:
    outputs = ("--table", "@/t.csv", "--pictures", "@/p.html", "--nearest", "2")
    code, out, err = run("assign", "@/weights.pth", "@/shards/validation", *outputs)
    assert code == 0, err
    assert "9 images on" in out
    with (home / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(range(9))
    assert all(0 <= int(row["prototype"]) < 12 and -1 <= float(row["score"]) <= 1 for row in rows)
    page = (home / "p.html").read_text()
    assert page.count("<section") == 12
    used = {row["prototype"] for row in rows}
    assert page.count("dead: no image") == 12 - len(used)
    assert "http" not in page


def test_assign_answers_for_the_head_it_is_asked_for_and_says_which(home: Path, run: Run) -> None:
    for head, num_prototypes in ((0, 12), (1, 5)):
        outputs = ("--head", str(head), "--table", "@/head.csv", "--pictures", "@/head.html")
        code, out, err = run("assign", "@/heads.pth", "@/shards/validation", *outputs)
        assert code == 0, err
        assert f"heads: head {head} of 0 to 1: 9 images on " in out
        assert f" of {num_prototypes} prototypes" in out
        page = (home / "head.html").read_text()
        assert page.count("<section") == num_prototypes
        assert f"head {head} of 0 to 1" in page
        assert _nearest(home / "head.csv") == _nearest_by_scores(home, head)


def _nearest(table: Path) -> list[int]:
    with table.open() as file:
        return [int(row["prototype"]) for row in csv.DictReader(file)]


def _nearest_by_scores(home: Path, head: int) -> list[int]:
    """The best of this head's own column of scores, as the network gives them in training."""
    network = network_of(read_weights(home / "heads.pth"))
    plan = replace(preprocessing_of({}), resize=32, size=32)
    alone = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
    shards = load_shard_set(home / "shards" / "validation")
    session = Session(network=network, world=alone, plan=plan, batch_size=64, threads=1)
    scored = session.computed(shards, lambda images: {"scores": network.model([images[:, None]])[1][0]})
    nearest: list[int] = scored.features["scores"].split([12, 5], dim=1)[head].argmax(1).tolist()
    return nearest


def test_assign_and_features_read_a_plain_folder_as_its_shards(home: Path, run: Run) -> None:
    for place, name in (("@/flat", "folder"), ("@/unlabelled", "shards")):
        code, out, err = run("assign", "@/weights.pth", place, "--table", f"@/{name}.csv")
        assert code == 0, err
        assert "20 images on" in out
        code, _, err = run("features", "@/weights.pth", place, f"@/{name}.npz")
        assert code == 0, err
    folder, shards = np.load(home / "folder.npz"), np.load(home / "shards.npz")
    assert all(np.array_equal(folder[name], shards[name]) for name in shards.files if name != "key")
    assert set(folder["key"]) == {path.name for path in (home / "flat").iterdir()}
    tables = [list(csv.DictReader((home / f"{name}.csv").read_text().splitlines())) for name in ("folder", "shards")]
    assert [row.pop("key") for row in tables[0]] == folder["key"].tolist()
    assert [row.pop("key") for row in tables[1]] == shards["key"].tolist()
    assert tables[0] == tables[1]


def test_a_picture_that_cannot_be_read_is_counted_and_the_others_are_assigned(home: Path, run: Run) -> None:
    photos = home / "photos"
    shutil.copytree(home / "flat", photos)
    whole = min(photos.iterdir()).read_bytes()
    (photos / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = run("assign", "@/weights.pth", "@/photos", "--table", "@/photos.csv", "--pictures", "@/q.html")
    assert code == 3, err
    assert "20 images on" in out
    assert "1 quarantined  truncated" in err
    rows = list(csv.DictReader((home / "photos.csv").read_text().splitlines()))
    assert {row["key"] for row in rows} == {path.name for path in (home / "flat").iterdir()}
    assert [int(row["id"]) for row in rows] != list(range(20))  # the torn one's number is nobody's
    thumbnails = (home / "q.html").read_text()
    assert all(f'title="{row["key"]}"' in thumbnails for row in rows[:1])


MISTAKES = {
    "splits": (("features", "@/weights.pth", "@/pictures", "x.npz"), "which split?, found train and validation"),
    "not a run": (("evaluate", "knn", "@/pictures", *SPLITS), "no weights here, found a folder that is no run"),
    "no such file": (("evaluate", "knn", "@/nothing.pth", *SPLITS), "no such file or folder"),
    "which shards": (("evaluate", "linear", "@/weights.pth"), "--train: which shards?"),
    "unlabelled": (
        ("evaluate", "knn", "@/weights.pth", "--train", "@/unlabelled", "--validation", "@/unlabelled"),
        "--train: the shards have no labels",
    ),
    "no such head": (
        ("assign", "@/heads.pth", "@/shards/validation", "--head", "2"),
        "--head: no such head of prototypes, found 2 in heads, expected less than 2",
    ),
    "one head": (
        ("assign", "@/weights.pth", "@/shards/validation", "--head", "1"),
        "--head: no such head of prototypes, found 1 in weights, expected less than 1",
    ),
    "no pictures": (("assign", "@/weights.pth", "@/empty"), "no pictures"),
    "no format": (("features", "@/weights.pth", "@/shards/train", "x.txt"), "no format for features, found '.txt'"),
    "no folder": (("features", "@/weights.pth", "@/shards/train", "@/a/b.npz"), "the features cannot be written"),
    "no such sample": (("evaluate", "semisup", "@/weights.pth", *SPLITS, "--labels", "@/weird.txt"), "no such sample"),
    "no such model": (
        ("export", "@/weights.pth", "--to", "timm", "@/t"),
        "timm has no model of this shape",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(mistake: str, run: Run) -> None:
    words, said = MISTAKES[mistake]
    code, _, err = run(*words)
    lines = [line for line in err.splitlines() if line and not line.startswith("features of")]
    assert code == 2
    assert len(lines) == 1, err
    assert said in lines[0]


def test_help_answers_without_torch() -> None:
    for words in (["--help"], ["evaluate", "--help"], ["export", "--help"]):
        code = f"import sys; sys.argv = ['x', *{words}]; import runpy\n"
        code += "try: runpy.run_module('swav_dali', run_name='__main__')\nexcept SystemExit: pass\n"
        code += "assert 'torch' not in sys.modules"
        done = training.run([sys.executable, "-c", code])
        assert done.returncode == 0, done.stderr
        assert "examples:" in done.stdout
