"""The command line leaves with its own exit code when it is asked to, also before torch is imported."""

from __future__ import annotations

import gc
import signal
import sys

import pytest

from swav_dali import cli
from swav_dali.errors import Stopped, stop_behind


def clean_up() -> None:
    raise KeyError("a library's own clean-up")


def test_a_request_that_comes_out_as_another_error_is_still_a_request() -> None:
    def interrupted_clean_up() -> None:
        try:
            raise Stopped("SIGTERM")
        finally:
            clean_up()

    with pytest.raises(KeyError) as caught:
        interrupted_clean_up()
    assert str(stop_behind(caught.value)) == "SIGTERM"
    assert stop_behind(KeyError("mine")) is None


def test_a_signal_before_the_first_step_is_one_line_and_exit_code_75(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import swav_dali.run.trainer

    def train(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGUSR1)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    monkeypatch.setattr(swav_dali.run.trainer, "train", train)
    monkeypatch.setattr(sys, "argv", ["train.py", "demo", "--data.synthetic-images", "64", "--log.no-console"])
    try:
        assert cli.main() == Stopped.EXIT_CODE == 75
        assert gc.get_freeze_count() > 0  # nothing is looked through again on the way out
    finally:
        gc.unfreeze()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.splitlines()[-1] == "SIGUSR1 before the first step: nothing to save"
