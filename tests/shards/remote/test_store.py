"""A folder and a URL are the same store to whoever uses one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from shards.errors import ShardError
from shards.remote.copies import download, finished_set, send_checked, upload
from shards.remote.store import FolderStore, Store, UrlStore, store_at
from shards.tars.manifest import sha256_of


@pytest.fixture(params=["folder", "memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    places = {"folder": tmp_path / "set", "memory": "memory://store-test/set", "file": f"file://{tmp_path}/set"}
    yield store_at(places[request.param])
    memory = fsspec.filesystem("memory")
    if memory.exists("/store-test"):
        memory.rm("/store-test", recursive=True)


def test_paths_are_folders_and_urls_are_not() -> None:
    assert store_at("data/x") == FolderStore(folder=Path("data/x"))
    assert store_at("s3://bucket/x/") == UrlStore(url="s3://bucket/x")
    assert (store_at("data/x").folder, store_at("s3://bucket/x").folder) == (Path("data/x"), None)
    assert store_at("s3://bucket/x").place("y") == "s3://bucket/x/y"
    assert store_at("data/x").below("train").place() == "data/x/train"
    assert store_at("s3://bucket").below("") == store_at("s3://bucket")


def test_what_is_written_is_found_read_and_removed(store: Store, tmp_path: Path) -> None:
    assert store.find(".build") == {}
    assert store.look("a.txt") is None
    (tmp_path / "local").write_bytes(b"from here")
    store.write("a.txt", b"0123456789")
    store.put(tmp_path / "local", ".build/b.txt")
    assert {name: file.size for name, file in store.find(".build").items()} == {"a.txt": 10, ".build/b.txt": 9}
    assert (store.read("a.txt"), store.read_from("a.txt", 8), store.read_from("a.txt", 2, 3)) == (
        b"0123456789",
        b"89",
        b"234",
    )
    assert store.below(".build").read("b.txt") == b"from here"
    store.remove(".build/b.txt")
    assert store.look(".build/b.txt") is None
    assert set(store.find(".build")) == {"a.txt"}


def test_a_replaced_file_has_another_stamp(store: Store) -> None:
    store.write("a", b"x")
    before = store.look("a")
    store.write("a", b"y")
    assert before is not None
    assert (before != store.look("a"), store.read("a")) == (True, b"y")


def test_a_file_that_is_not_there_cannot_be_read(store: Store) -> None:
    store.write("a", b"x")
    with pytest.raises(OSError, match="b"):
        store.read("b")


def test_it_travels_to_workers(store: Store) -> None:
    store.write("a", b"x")
    there = pickle.loads(pickle.dumps(store))
    assert (there, there.read("a")) == (store, b"x")


def test_a_folder_is_not_looked_into_deeper_than_asked(tmp_path: Path) -> None:
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "cat" / "1.jpg").write_bytes(b"x")
    (tmp_path / "shard.tar").write_bytes(b"x")
    assert set(FolderStore(folder=tmp_path).find(".build")) == {"shard.tar"}


def test_a_folder_goes_with_its_last_file(tmp_path: Path) -> None:
    store = FolderStore(folder=tmp_path)
    store.write("quarantine/a", b"x")
    store.write("quarantine/b", b"x")
    store.remove("quarantine/a")
    assert (tmp_path / "quarantine").is_dir()
    store.remove("quarantine/b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_sent_once_and_never_unless_it_is_what_it_should_be(store: Store, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"content")
    sha256 = sha256_of(b"content")
    assert send_checked(store, "a", tmp_path / "local", sha256) == 1
    assert send_checked(store, "a", tmp_path / "local", sha256) == 0
    store.write("a", b"CONTENT")  # as long, but other bytes
    assert send_checked(store, "a", tmp_path / "local", sha256) == 1
    with pytest.raises(ShardError, match="has another sha256"):
        send_checked(store, "b", tmp_path / "local", sha256_of(b"other"))
    assert store.look("b") is None


def test_a_set_goes_there_and_back(
    store: Store, tmp_path: Path, tree: Path, run_build: object, files_of: object
) -> None:
    from shards.sources.folders import ClassFolders

    with pytest.raises(ShardError, match=r"no manifest.json"):
        finished_set(store)
    run_build(ClassFolders(root=tree), tmp_path / "out", shard_mib=0.01)  # type: ignore[operator]
    counted: list[int] = []
    num_sent = upload(tmp_path / "out", store, on_bytes=counted.append)
    assert download(store, tmp_path / "back", on_bytes=counted.append) == num_sent
    sent = {name: content for name, content in files_of(tmp_path / "out").items() if ".build" not in name}  # type: ignore[operator]
    assert files_of(tmp_path / "back") == sent  # type: ignore[operator]
    assert sum(counted) == 2 * sum(len(content) for name, content in sent.items() if name != "manifest.json")


def test_another_sets_manifest_goes_before_its_files_change(
    store: Store, tmp_path: Path, tree: Path, run_build: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shards.sources.folders import ClassFolders

    for number in range(2):
        run_build(ClassFolders(root=tree), tmp_path / str(number), seed=number)  # type: ignore[operator]
    upload(tmp_path / "0", store, on_bytes=lambda num_bytes: None)

    def refuse(self: Store, local: Path, name: str) -> None:
        raise ShardError("refused", where=name)

    monkeypatch.setattr(type(store), "put", refuse)
    with pytest.raises(ShardError, match="refused"):
        upload(tmp_path / "1", store, on_bytes=lambda num_bytes: None)
    assert store.look("manifest.json") is None
