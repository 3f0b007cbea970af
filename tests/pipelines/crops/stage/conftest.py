"""The stage in Triton's interpreter, once per test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from interpreted import Interpreter


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter() as started:
        yield started
