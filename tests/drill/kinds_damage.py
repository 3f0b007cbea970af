"""What can happen to a run, second part: files of the run and of the data that are not what they were."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.drill.hooks import at_step, die
from tests.drill.kinds import kind
from tests.drill.stable import Running, Watcher
from tests.drill.trial import TOTAL, Trial, Verdict, Wrong, snapshot

ODD_META: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "a list": lambda meta: json.dumps([meta]).encode(),
    "null": lambda meta: b"null",
    "a key missing": lambda meta: json.dumps({key: meta[key] for key in meta if key != "world_size"}).encode(),
    "a key more": lambda meta: json.dumps({**meta, "colour": "blue"}).encode(),
    "a byte that is no UTF-8": lambda meta: json.dumps(meta).replace("step", "st\xe9p", 1).encode("latin-1"),
    "an entry without bytes": lambda meta: json.dumps({**meta, "files": {"shared.pt": {}}}).encode(),
    "empty": lambda meta: b"",
    "cut": lambda meta: json.dumps(meta).encode()[:-20],
    "a step that is text": lambda meta: json.dumps({**meta, "step": "four"}).encode(),
}
ODD_CONFIG = (b"", b"{", b"[]", b"null", b'{"name": "run"}', b"\xff\xfe", b'{"run_id": 7}')
ODD_LINE = (b'{"step": 4', b"[1]", b"null", b'{"loss": 1.0}', b'{"step": "four"}', b"\xff\xfe", b"\0" * 50)


def interrupted(trial: Trial) -> None:
    """A run with two checkpoints, killed when its writer has nothing left to write or to remove."""

    def die_in_peace() -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until and [path.suffix for path in trial.checkpoints] != ["", ""]:
            time.sleep(0.01)
        die()

    trial.go(hooks=[at_step(trial.dice.randint(10, 12), die_in_peace)])
    if len(trial.checkpoints) != 2:
        raise Wrong(f"{len(trial.checkpoints)} checkpoints to begin with")


@kind("newest checkpoint cut short or emptied", 8, ranks=(1, 2))
def checkpoint_cut(trial: Trial) -> Verdict:
    interrupted(trial)
    path = trial.dice.choice(sorted(trial.checkpoints[-1].glob("*.pt")))
    with path.open("r+b") as file:
        file.truncate(trial.dice.choice((0, 1, path.stat().st_size // 2, path.stat().st_size - 1)))
    name = trial.checkpoints[-1].name
    ended = trial.go()
    if not ended.is_good:
        raise Wrong("the checkpoint before was not used")
    trial.must_say(ended, "skipped", name)
    return trial.compare()


@kind("newest checkpoint with a flipped bit", 8)
def checkpoint_flipped(trial: Trial) -> Verdict:
    interrupted(trial)
    path = trial.dice.choice(sorted(trial.checkpoints[-1].glob("*.pt")))
    _flip(path, trial)
    return _same_or_refused(trial, path.parent.name)


@kind("odd meta.json in the newest checkpoint", 10)
def odd_meta(trial: Trial) -> Verdict:
    interrupted(trial)
    path = trial.checkpoints[-1] / "meta.json"
    path.write_bytes(ODD_META[trial.dice.choice(sorted(ODD_META))](json.loads(path.read_text())))
    return _same_or_refused(trial, path.parent.name)


@kind("epoch edited by hand in meta.json", 3)
def edited_epoch(trial: Trial) -> Verdict:
    interrupted(trial)
    path = trial.checkpoints[-1] / "meta.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({**meta, "epoch": trial.dice.choice((7, 2, -1))}))
    return _same_or_refused(trial, path.parent.name)


@kind("newest checkpoint removed", 3)
def newest_removed(trial: Trial) -> Verdict:
    interrupted(trial)
    shutil.rmtree(trial.checkpoints[-1])
    return trial.finish()


@kind("all checkpoints removed or unreadable", 5)
def none_left(trial: Trial) -> Verdict:
    interrupted(trial)
    for folder in trial.checkpoints:
        if trial.dice.random() < 0.5:
            shutil.rmtree(folder)
        else:
            (folder / "meta.json").unlink()
    before = snapshot(trial.run_folder)
    ended = trial.go()
    if not ended.is_good:
        return trial.refused(ended, "--name", before=before)
    trial.must_say(ended, "starting over")
    return trial.compare()


@kind("config.json emptied or spoiled", 6)
def odd_config(trial: Trial) -> Verdict:
    interrupted(trial)
    (trial.run_folder / "config.json").write_bytes(trial.dice.choice(ODD_CONFIG))
    return trial.finish()


@kind("bad line in metrics.jsonl or events.jsonl", 8)
def bad_line(trial: Trial) -> Verdict:
    interrupted(trial)
    path = trial.run_folder / trial.dice.choice(("metrics.jsonl", "events.jsonl"))
    lines = path.read_bytes().split(b"\n")
    bad = trial.dice.choice(ODD_LINE)
    if trial.dice.random() < 0.5:
        path.write_bytes(path.read_bytes() + bad)  # a killed writer's half line
    else:
        lines.insert(trial.dice.randint(0, len(lines) - 1), bad)
        path.write_bytes(b"\n".join(lines))
    verdict = trial.finish()
    if path.name == "events.jsonl":
        kinds = [json.loads(line).get("kind") for line in path.read_bytes().split(b"\n") if _is_event(line)]
        if kinds.count("resume") != 1 or kinds[-1] != "end":
            raise Wrong(f"events {kinds}")
    return verdict


@kind("renames on disk in another order than made (network file system)", 10)
def renames_reordered(trial: Trial) -> Verdict:
    """The states that a client's crash may leave when the server had taken a later rename but not an earlier one."""
    interrupted(trial)
    root, newest = trial.run_folder / "checkpoints", trial.checkpoints[-1]
    state = trial.dice.randrange(5)
    if state == 0:  # the folder has its name, its files have no bytes yet
        for path in newest.glob("*.pt"):
            path.write_bytes(b"")
    elif state == 1:  # the folder has its name and its files, meta.json is still to come
        (newest / "meta.json").unlink()
    elif state == 2:  # the older one was set aside and the new one not yet named
        newest.rename(root / f".{newest.name}.partial")
    elif state == 3:  # both names of one checkpoint
        shutil.copytree(newest, root / f".{newest.name}.deleted")
        shutil.copytree(newest, root / f".{newest.name}.partial")
    else:  # config.json and metrics.jsonl before their replacement
        (trial.run_folder / "config.tmp").write_text("{")
        (trial.run_folder / "metrics.tmp").write_text('{"step')
    return trial.finish()


@kind("DALI's version changed", 3)
def other_dali(trial: Trial) -> Verdict:
    interrupted(trial)

    def older(_: object) -> None:
        import nvidia.dali

        nvidia.dali.__version__ = "2.3.1"

    before = snapshot(trial.run_folder)
    return trial.refused(trial.go(hooks=[older]), "dali", "2.3.1", before=before)


@kind("torch's version changed", 3)
def other_torch(trial: Trial) -> Verdict:
    interrupted(trial)

    def older(_: object) -> None:
        import swav_dali.run.versions as versions

        real = versions.version
        versions.version = lambda name: "2.13.0" if name == "torch" else real(name)

    ended = trial.go(hooks=[older])
    if not ended.is_good:
        return trial.refused(ended, "torch", "2.13.0")
    trial.must_say(ended, "torch", "2.13.0")
    return trial.compare()


@kind("an option changed", 4)
def other_option(trial: Trial) -> Verdict:
    interrupted(trial)
    key, value = trial.dice.choice(
        (("optim__base_lr", "0.9"), ("seed", "7"), ("model__num_prototypes", "13"), ("data__crops__0__size", "40"))
    )
    before = snapshot(trial.run_folder)
    return trial.refused(trial.go(**{key: value}), before=before)


@kind("shards moved between kill and start", 4)
def shards_moved(trial: Trial) -> Verdict:
    interrupted(trial)
    trial.own_data()
    return trial.finish()


@kind("a shard shortened or missing at the start", 6)
def shard_short(trial: Trial) -> Verdict:
    tar = _any_tar(trial)
    if trial.dice.random() < 0.5:
        tar.unlink()
    else:
        os.truncate(tar, tar.stat().st_size // 2)
    return trial.refused(trial.go(), tar.name)


@kind("another data set at the start", 3)
def other_data(trial: Trial) -> Verdict:
    interrupted(trial)
    data = trial.own_data()
    shutil.rmtree(data / "train")
    shutil.copytree(data / "validation", data / "train")
    before = snapshot(trial.run_folder)
    return trial.refused(trial.go(data__batch_size="2"), before=before)


@kind("a shard truncated under the run", 8, ranks=(1, 2))
def truncated_under(trial: Trial) -> Verdict:
    tar = _any_tar(trial)
    ended = trial.go(watch=_once_at(trial.dice.randint(1, 12), lambda: os.truncate(tar, 512)))
    if ended.is_good:
        return trial.compare()  # its bytes were in memory already
    trial.refused(ended, tar.name)
    shutil.rmtree(trial.data)
    trial.data = trial.work / "data"
    return trial.finish()


@kind("a shard replaced between epochs", 8)
def replaced_under(trial: Trial) -> Verdict:
    tar = _any_tar(trial)

    def replace() -> None:
        other = tar.with_suffix(".new")
        content = bytearray(tar.read_bytes())
        for place in range(2000, len(content), 4096):
            content[place] ^= 0x55
        other.write_bytes(content if trial.dice.random() < 0.5 else content[:-5120])
        other.replace(tar)

    ended = trial.go(watch=_once_at(trial.dice.randint(2, 8), replace))
    if ended.is_good:
        return trial.compare()  # it had been opened before
    trial.refused(ended, tar.name)
    shutil.rmtree(trial.data)
    trial.data = trial.work / "data"
    return trial.finish()


@kind("a shard removed under the run", 4)
def removed_under(trial: Trial) -> Verdict:
    tar = _any_tar(trial)
    ended = trial.go(watch=_once_at(trial.dice.randint(1, 12), tar.unlink))
    return trial.compare() if ended.is_good else trial.refused(ended, tar.name)


@kind("odd names of a run", 6)
def odd_names(trial: Trial) -> Verdict:
    good = ("grün", "a b", "<b>bold", "[red]x", "x" * 120)
    bad = ("..", "a/b", ".hidden", "", "x" * 300)
    name = trial.dice.choice(good + bad)
    ended = trial.go(name=name)
    if name in bad:
        return trial.refused(ended)
    if not ended.is_good:
        raise Wrong(f"{name!r}: codes {ended.codes}")
    (trial.folder / "runs" / name).rename(trial.run_folder)
    return trial.compare()


def _flip(path: Path, trial: Trial) -> None:
    content = bytearray(path.read_bytes())
    content[trial.dice.randrange(len(content))] ^= 1 << trial.dice.randrange(8)
    path.write_bytes(content)


def _same_or_refused(trial: Trial, name: str) -> Verdict:
    """Another checkpoint is used and it is said, or the damaged one is named and nothing has changed."""
    before = snapshot(trial.run_folder)
    ended = trial.go()
    if not ended.is_good:
        return trial.refused(ended, name, before=before)
    trial.must_say(ended, name)
    return trial.compare()


def _is_event(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode()), dict)
    except ValueError:
        return False


def _any_tar(trial: Trial) -> Path:
    return trial.dice.choice(sorted((trial.own_data() / "train").glob("*.tar")))


def _once_at(step: int, act: Callable[[], object]) -> Watcher:
    is_done = False

    def watch(running: Running) -> None:
        nonlocal is_done
        if not is_done and running.step() >= step:
            is_done = True
            act()

    return watch


assert TOTAL > 12, "the runs that are damaged stop at step 12"
