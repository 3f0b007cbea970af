"""What is settled about a device before the first kernel: dtypes and how exact float32 is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from swav_dali.errors import ConfigError
from swav_dali.ranks.device import autocast_dtype, prepare_device

PLACES: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def as_if_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No device is touched, and torch's settings are as before afterwards."""
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    benchmark, kept = torch.backends.cudnn.benchmark, [place.fp32_precision for place in PLACES]
    yield
    torch.backends.cudnn.benchmark = benchmark
    for place, precision in zip(PLACES, kept, strict=True):
        place.fp32_precision = precision
    torch.use_deterministic_algorithms(False)


def test_bfloat16_on_a_cpu_is_refused_and_never_chosen() -> None:
    assert autocast_dtype("auto", CPU) is None
    assert autocast_dtype("float32", CPU) is None
    with pytest.raises(ConfigError, match="--precision: not sound on a CPU, found bfloat16"):
        autocast_dtype("bfloat16", CPU)


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_bfloat16_is_chosen_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert autocast_dtype("auto", CUDA) is (torch.bfloat16 if has_bfloat16 else None)
    assert autocast_dtype("float32", CUDA) is None
    if not has_bfloat16:
        with pytest.raises(ConfigError, match="this device has no bfloat16"):
            autocast_dtype("bfloat16", CUDA)


@pytest.mark.parametrize("deterministic", [True, False])
def test_float32_is_float32_everywhere(as_if_cuda: None, deterministic: bool) -> None:
    for place in PLACES:
        place.fp32_precision = "tf32"
    prepare_device(CUDA, deterministic=deterministic)
    assert [place.fp32_precision for place in PLACES] == ["ieee"] * 3
    assert torch.backends.cudnn.benchmark is not deterministic
    assert torch.are_deterministic_algorithms_enabled() is deterministic
