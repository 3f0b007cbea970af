"""Every command's help has the same look: dashes in flags, examples, exit codes."""

from __future__ import annotations

import argparse
import importlib
import re

import pytest

import pipelines.__main__ as pipelines_main
import shards.__main__ as shards_main
import swav_dali.__main__ as swav_dali_main

COMMANDS = [
    *(f"shards.commands.{name}" for name in shards_main.COMMANDS),
    *(f"swav_dali.commands.{name}" for name in swav_dali_main.COMMANDS),
    *(f"pipelines.commands.{name}" for name in ("bench", "gpu_check", "show")),
]


@pytest.mark.parametrize("module", COMMANDS)
def test_the_help_of_a_command_has_dashes_examples_and_exit_codes(module: str) -> None:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    importlib.import_module(module).add_parser(subparsers)
    for command in subparsers.choices.values():
        text = command.format_help()
        assert "examples:\n" in text
        assert "exit codes: 0 done" in text
        flags = re.findall(r"--[\w-]+", text)
        assert flags
        assert all(re.fullmatch(r"--[a-z0-9]+(-[a-z0-9]+)*", flag) for flag in flags)


def test_every_package_says_its_examples() -> None:
    assert all("examples:" in module.EXAMPLES for module in (shards_main, swav_dali_main, pipelines_main))
