"""Compiling with and without a folder to keep the machine code in."""

from __future__ import annotations

from typing import Any

import pytest
from numba import types

from pipelines.compiled import cache as kernels_cache


def triple(number: int) -> int:
    return 3 * number


def test_without_a_writable_folder_it_says_so_and_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    real = kernels_cache.cfunc

    def refusing(signature: Any, cache: bool = False) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'triple': no locator available for file 'x'")
        return real(signature)

    monkeypatch.setattr(kernels_cache, "cfunc", refusing)
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR to a writable folder"):
        entry = kernels_cache.compiled_entry(triple, types.intp(types.intp))
    assert entry(14) == 42


def test_other_compiler_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(signature: Any, cache: bool = False) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(kernels_cache, "cfunc", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        kernels_cache.compiled_entry(triple, types.intp(types.intp))
