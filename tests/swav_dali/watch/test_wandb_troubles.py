"""wandb's troubles cost a run seconds and a word, never the training; its key is written nowhere."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import training
from wandb_server import reaping

from swav_dali.errors import ConfigError
from swav_dali.watch import replay as replay_module
from swav_dali.watch.sinks import wandb as sink_module
from swav_dali.watch.sinks.base import Event, SinkGroup
from swav_dali.watch.sinks.wandb import WandbSink

KEY = "0123456789abcdef" * 2 + "01234567"
RECORD = {"step": 1, "epoch": 1, "loss": 4.0}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The address wandb believes in, bound, and so refusing; listening to it makes it accept and never answer."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(sink_module, "ANSWER_SECONDS", 1.0)
        monkeypatch.setattr(sink_module, "_tear_down", reaping(sink_module._tear_down))
        sink_module.wandb.teardown()  # an earlier test of this process may have made wandb read the environment
        yield bound
    sink_module.wandb.teardown()


def open_sink(folder: Path, mode: str) -> WandbSink:
    return WandbSink(folder, mode=mode, project="p", name="n", run_id="abc", config={"seed": 1})


@pytest.mark.parametrize("is_silent", [False, True])
def test_with_a_key_but_no_server_the_run_is_offline_within_seconds_and_says_so(
    tmp_path: Path, server: socket.socket, is_silent: bool
) -> None:
    if is_silent:
        server.listen()
    began = time.monotonic()
    group = SinkGroup([open_sink(tmp_path, "online")])
    assert time.monotonic() - began < 30  # wandb itself: 90
    with pytest.warns(UserWarning, match="wandb is offline for this start, .*127.0.0.1.* does not answer"):
        group.event(Event("start", 0, "hello"))
    group.record(RECORD)
    group.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_online_without_a_login_the_run_is_offline_and_a_replay_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "login_is_found", lambda: False)
    group = SinkGroup([open_sink(tmp_path, "online")])
    with pytest.warns(UserWarning, match="wandb is offline for this start, .*there is no login"):
        group.event(Event("start", 0, "hello"))
    group.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    monkeypatch.setattr(replay_module, "login_is_found", lambda: False)
    (tmp_path / "config.json").write_text('{"run_id": "abc"}')
    with pytest.raises(ConfigError, match="--mode: wandb has no login, found online; log in, or use offline"):
        replay_module.replay(tmp_path, mode="online")


def test_the_key_is_in_no_file_and_no_word(
    tmp_path: Path, server: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    with SinkGroup([open_sink(tmp_path, "online")]) as group:
        with pytest.warns(UserWarning, match="offline") as said:
            group.event(Event("start", 0, "hello"))
        group.record(RECORD)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in "".join(capfd.readouterr()) + "".join(str(each.message) for each in said)


def test_its_process_killed_costs_the_sink_and_not_the_training(tmp_path: Path, server: socket.socket) -> None:
    group = SinkGroup([open_sink(tmp_path, "offline")])
    group.record(RECORD)
    service = [pid for pid in training.descendants(os.getpid()) if b"wandb-core" in command_line(pid)]
    for pid in service:
        os.kill(pid, signal.SIGKILL)
    assert service

    def train_on() -> None:
        for step in range(2, 5000):
            group.record({**RECORD, "step": step})

    with pytest.warns(UserWarning, match="WandbSink failed and is switched off"):
        train_on()
    group.close()


@pytest.mark.parametrize("fails", [False, True])
def test_wandb_is_told_how_the_run_ended(fails: bool) -> None:
    codes: list[Any] = []

    class FakeRun:
        def finish(self, exit_code: int) -> None:
            codes.append(exit_code)

    sink = object.__new__(WandbSink)
    sink._run = FakeRun()  # type: ignore[assignment]
    sink.close(failed=fails)
    assert codes == [int(fails)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended since
        return b""
