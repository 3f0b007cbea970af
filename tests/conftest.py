"""Shared test rules: `slow` needs --slow, `gpu` needs a device; each skip says why."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    has_gpu = any("gpu" in item.keywords for item in items) and _cuda_is_available()
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes more than ten seconds: run with --slow"))
        if "gpu" in item.keywords and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


def _cuda_is_available() -> bool:
    import torch

    return torch.cuda.is_available()
