"""A real S3 server process on loopback: pictures read from it, a set published, staged with resume, read by DALI."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shards.errors import ShardError
from shards.remote.copies import download, send_checked, upload
from shards.remote.store import UrlStore
from shards.sources.folders import ClassFolders
from shards.sources.recognise import recognise
from shards.tars.manifest import Manifest
from shards.tars.shardset import load_shard_set

pytest.importorskip("s3fs", reason="the extra [remote] is not installed")
pytest.importorskip("moto", reason="moto is an optional S3 server for tests")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
Run = Callable[..., tuple[Manifest, bool]]
Files = Callable[[Path], dict[str, bytes]]


def ignore(num_bytes: int) -> None:
    assert num_bytes >= 0


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty bucket on a server of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        wait_for(address)
        urllib.request.urlopen(urllib.request.Request(f"{address}/pets", method="PUT")).close()
        yield "s3://pets"
    finally:
        server.kill()
        server.wait()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_set_goes_to_s3_and_back_and_dali_reads_it_there(
    tmp_path: Path, tree: Path, bucket: str, run_build: Run, files_of: Files
) -> None:
    run_build(ClassFolders(root=tree), tmp_path / "out", shard_mib=0.01)
    target = UrlStore(url=f"{bucket}/train")
    assert upload(tmp_path / "out", target, on_bytes=ignore) == 2 * len(load_shard_set(tmp_path / "out").shards)
    assert upload(tmp_path / "out", target, on_bytes=ignore) == 0

    copy = tmp_path / "copy"
    copy.mkdir()
    whole = (tmp_path / "out" / "shard-000001.tar").read_bytes()
    (copy / "shard-000001.tar.part").write_bytes(whole[:700])
    (copy / "shard-000000.tar").write_bytes(b"damaged")
    num_files = 2 * len(load_shard_set(tmp_path / "out").shards)
    assert download(target, copy, on_bytes=ignore) == num_files
    assert download(target, copy, on_bytes=ignore) == 0
    expected = {name: content for name, content in files_of(tmp_path / "out").items() if not name.startswith(".build")}
    assert files_of(copy) == expected

    indices = tmp_path / "indices"
    download(target, indices, with_tars=False, on_bytes=ignore)
    assert list(indices.glob("*.tar")) == []
    assert sorted(dali_keys(indices, f"{bucket}/train")) == [f"{number:09d}.jpg" for number in range(21)]


def dali_keys(indices: Path, url: str) -> list[str]:
    from nvidia.dali import fn, pipeline_def

    shards = load_shard_set(indices, tars_elsewhere=True).shards

    @pipeline_def(batch_size=21, num_threads=1, device_id=None)
    def graph():  # type: ignore[no-untyped-def]
        picture = fn.readers.webdataset(
            paths=[f"{url}/{s.tar.name}" for s in shards], index_paths=[str(s.idx) for s in shards], ext=["jpg"]
        )
        return fn.decoders.image(picture), fn.get_property(picture, key="source_info")

    pipe = graph()
    pipe.build()
    _, sources = pipe.run()
    return [bytes(sources.at(number)).decode().rsplit(":", 1)[1] for number in range(21)]


def test_pictures_at_a_url_give_the_shards_of_the_folder(
    tmp_path: Path, tree: Path, bucket: str, run_build: Run
) -> None:
    target = UrlStore(url=f"{bucket}/raw")
    for file in tree.rglob("*.JPEG"):
        target.put(file, str(file.relative_to(tree)))
    source = recognise(f"{bucket}/raw")[""]
    run_build(source, tmp_path / "a")
    run_build(ClassFolders(root=tree), tmp_path / "b")
    assert (tmp_path / "a" / "shard-000000.tar").read_bytes() == (tmp_path / "b" / "shard-000000.tar").read_bytes()


def test_damage_at_the_url_is_noticed_and_a_missing_set_is_named(
    tmp_path: Path, tree: Path, bucket: str, run_build: Run
) -> None:
    with pytest.raises(ShardError, match=r"s3://pets/nothing: no manifest.json"):
        download(UrlStore(url=f"{bucket}/nothing"), tmp_path / "copy", on_bytes=ignore)
    run_build(ClassFolders(root=tree), tmp_path / "out")
    target = UrlStore(url=f"{bucket}/train")
    upload(tmp_path / "out", target, on_bytes=ignore)
    tar = tmp_path / "out" / "shard-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    target.put(tar, tar.name)
    with pytest.raises(ShardError, match=r"shard-000000.tar: arrived with another checksum"):
        download(UrlStore(url=f"{bucket}/train"), tmp_path / "copy", on_bytes=ignore)
    assert not (tmp_path / "copy" / "manifest.json").exists()


def build_command(tree: Path, url: str, *options: str) -> list[str]:
    command = [sys.executable, "-m", "shards", "build", str(tree), url, "--num-shards", "12", "--workers", "2"]
    return [*command, *options]


def start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TMPDIR": str(folder)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def sent_at(target: UrlStore) -> dict[str, Any]:
    """When each object was written, by its name."""
    found = target._filesystem().find("pets/train", detail=True, refresh=True)
    return {name.removeprefix("pets/train/"): info["LastModified"] for name, info in found.items()}


def finished(times: dict[str, Any]) -> dict[str, Any]:
    """Of the tars whose record is there."""
    return {name: times[name] for name in times if f".build/{name.replace('.tar', '.json')}" in times}


def test_builds_at_a_url_killed_and_resumed_give_a_local_builds_bytes_and_send_no_shard_twice(
    tmp_path: Path, make_picture: Callable[..., bytes], bucket: str, files_of: Files
) -> None:
    for number in range(240):
        folder = tmp_path / "tree" / f"class_{number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(make_picture(number, size=(200, 160)))
    (tmp_path / "tree" / "class_0" / "cut.jpg").write_bytes(make_picture(1, size=(200, 160))[:-100])
    (tmp_path / "scratch").mkdir()
    target = UrlStore(url=f"{bucket}/train")
    dice, settled = random.Random(3), dict[str, Any]()
    for kills in range(4):
        process = start(build_command(tmp_path / "tree", target.url), tmp_path / "scratch")
        while len(finished(sent_at(target))) <= 2 * kills and process.poll() is None:
            time.sleep(0.05)
        time.sleep(dice.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        times = sent_at(target)
        assert "manifest.json" not in times
        assert {name: times[name] for name in settled} == settled
        settled = finished(times)
    assert 0 < len(settled) < 12
    process = start(build_command(tmp_path / "tree", target.url), tmp_path / "scratch")
    process.communicate(timeout=300)
    assert process.returncode == 3
    local = start(build_command(tmp_path / "tree", str(tmp_path / "out")), tmp_path)
    local.communicate(timeout=300)
    assert local.returncode == 3
    expected = files_of(tmp_path / "out")
    assert {name: target.read(name) for name in target.find()} == expected
    assert list((tmp_path / "scratch").iterdir()) == []
    print(f"{len(settled)} of 12 shards had been sent before the last run")


def test_objects_sent_in_parts_are_compared_by_their_etag(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "large.tar"
    local.write_bytes(random.Random(0).randbytes(1 << 20) * 111)  # s3fs sends more than 100 MiB in parts
    sha256 = hashlib.sha256(local.read_bytes()).hexdigest()
    read_back: list[str] = []
    monkeypatch.setattr(UrlStore, "read_from", lambda self, name, start, size: read_back.append(name))
    target = UrlStore(url=f"{bucket}/train")
    assert send_checked(target, local.name, local, sha256) == 1
    assert send_checked(target, local.name, local, sha256) == 0
    there = target.look(local.name)
    assert there is not None
    assert there.etag.endswith("-3")
    assert read_back == []


def test_a_bucket_that_does_not_exist_is_said_in_one_line(tmp_path: Path, tree: Path, bucket: str) -> None:
    process = start(build_command(tree, "s3://other/train"), tmp_path)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "error: s3://other/train" in stderr
    assert "Traceback" not in stderr
