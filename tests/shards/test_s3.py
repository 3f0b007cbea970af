"""A real S3 server process on loopback: pictures read from it, a set published, staged with resume, read by DALI."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.manifest import Manifest
from shards.remote import RemoteFolder
from shards.shardset import load_shard_set
from shards.sources.folders import ClassFolders
from shards.sources.recognise import recognise
from shards.transfer import download, upload

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
    target = RemoteFolder(url=f"{bucket}/train")
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
    target = RemoteFolder(url=f"{bucket}/raw")
    for file in tree.rglob("*.JPEG"):
        target.put(str(file), str(file.relative_to(tree)))
    source = recognise(f"{bucket}/raw")[""]
    run_build(source, tmp_path / "a")
    run_build(ClassFolders(root=tree), tmp_path / "b")
    assert (tmp_path / "a" / "shard-000000.tar").read_bytes() == (tmp_path / "b" / "shard-000000.tar").read_bytes()


def test_damage_at_the_url_is_noticed_and_a_missing_set_is_named(
    tmp_path: Path, tree: Path, bucket: str, run_build: Run
) -> None:
    with pytest.raises(ShardError, match=r"s3://pets/nothing: no manifest.json"):
        download(RemoteFolder(url=f"{bucket}/nothing"), tmp_path / "copy", on_bytes=ignore)
    run_build(ClassFolders(root=tree), tmp_path / "out")
    target = RemoteFolder(url=f"{bucket}/train")
    upload(tmp_path / "out", target, on_bytes=ignore)
    tar = tmp_path / "out" / "shard-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    target.put(str(tar), tar.name)
    with pytest.raises(ShardError, match=r"shard-000000.tar: arrived with another checksum"):
        download(RemoteFolder(url=f"{bucket}/train"), tmp_path / "copy", on_bytes=ignore)
    assert not (tmp_path / "copy" / "manifest.json").exists()
