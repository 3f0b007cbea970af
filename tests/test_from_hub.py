"""A published set, from the hub to a trained and evaluated network: the commands as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hub import Hub, serving
from tars import write_tar
from training import ROOT, command, draw_folder, environment, records, run

from shards.host.files import opened
from shards.tars.index import parse_index
from shards.tars.shardset import load_shard_set

KEYS: tuple[Callable[[int], str], ...] = (
    lambda number: f"n01440764_tench_{number}",
    lambda number: f"./images/{number:04d}",
    lambda number: f"{number:04d}",  # begins anew in every tar
)
CLASSES = ("across", "along")


def publish(root: Path, pictures: Path, *, per_tar: int) -> dict[str, list[bytes]]:
    """Tars as timm publishes them, a style of keys for each; returns the pictures of the splits."""
    root.mkdir()
    found: dict[str, list[bytes]] = {}
    splits = {}
    for split, num_tars in (("train", 3), ("validation", 2)):
        files = sorted((pictures / split).rglob("*.jpg"), key=lambda path: path.name)
        found[split] = [path.read_bytes() for path in files]
        names = [f"tiny1k-{split}-{number:04d}.tar" for number in range(num_tars)]
        for tar, name in enumerate(names):
            parts = []
            for number, path in enumerate(files[tar * per_tar : (tar + 1) * per_tar]):
                key = KEYS[tar % len(KEYS)](number)
                label = str(CLASSES.index(path.parent.name)).encode()
                parts += [(f"{key}.cls", label), (f"{key}.jpg", path.read_bytes()), (f"{key}.json", b"{}")]
            write_tar(root / name, parts)
        splits[split] = {
            "name": split,
            "num_samples": len(files),
            "filenames": names,
            "shard_lengths": [per_tar] * num_tars,
        }
    (root / "_info.json").write_text(json.dumps({"splits": splits}))
    return found


def pictures_of(folder: Path) -> list[bytes]:
    """The bytes that DALI is pointed at by the indices of a set."""
    found = []
    for shard in load_shard_set(folder).shards:
        with opened(shard.tar) as descriptor, open(descriptor, "rb", closefd=False) as file:
            content = file.read()
        for picture, *_ in parse_index(shard.idx.read_bytes(), where=shard.idx):
            found.append(content[picture.offset : picture.offset + picture.size])
    return found


@pytest.mark.slow
def test_a_published_set_is_fetched_trained_on_and_evaluated(tmp_path: Path) -> None:
    for split, num_images, seed in (("train", 42, 1), ("validation", 28, 2)):
        draw_folder(tmp_path / "pictures" / split, num_images=num_images, seed=seed)
    published = publish(tmp_path / "hub", tmp_path / "pictures", per_tar=14)
    out = tmp_path / "tiny"
    with serving(Hub(root=tmp_path / "hub", repo="timm/tiny-1k-wds")) as hub:
        fetch = [sys.executable, "-m", "shards", "fetch", "hf://datasets/timm/tiny-1k-wds", str(out), "--workers", "1"]
        env = {**environment(), "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        done = subprocess.run(fetch, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(pictures_of(out / "train")) == sorted(published["train"])
    assert sorted(pictures_of(out / "validation")) == sorted(published["validation"])
    assert not set(published["train"]) & set(published["validation"])
    trained = run(command(out, tmp_path / "runs", "hub", log__every_steps="1"))
    assert trained.returncode == 0, trained.stderr
    steps = records(tmp_path / "runs" / "hub")
    assert max(record["step"] for record in steps) == 20
    assert any("knn_top1" in record for record in steps)
    evaluate = [sys.executable, "-m", "swav_dali", "evaluate", "knn", str(tmp_path / "runs" / "hub")]
    evaluated = run(evaluate)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "%" in evaluated.stdout
