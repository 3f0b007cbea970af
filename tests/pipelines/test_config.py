"""What cannot be drawn or read is refused with its flag."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.config import Augmentation, CropGroup, LoaderOptions, resolve_crops_by
from pipelines.errors import PipelineError


def group(**fields: Any) -> CropGroup:
    return CropGroup(**{"num": 2, "size": 32, "min_scale": 0.1, "max_scale": 1.0, **fields})


@pytest.mark.parametrize(
    "fields", [{"num": 0}, {"size": 4}, {"min_scale": 0.0}, {"min_scale": 0.9, "max_scale": 0.5}, {"max_scale": 1.5}]
)
def test_a_group_that_cannot_be_cut_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=r"--data\.crops: "):
        group(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"flip": 1.5},
        {"solarize": -0.1},
        {"hue": 0.6},
        {"brightness": 2.0},
        {"min_sigma": 3.0},
        {"std": (0.2, 0.0, 0.2)},
    ],
)
def test_a_distortion_that_cannot_be_drawn_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=r"--data\.augment\."):
        Augmentation(**fields)


@pytest.mark.parametrize("name", ["threads", "prefetch", "shuffle_pool", "reader_prefetch"])
def test_too_small_options_are_refused_with_their_flag(name: str) -> None:
    with pytest.raises(PipelineError, match=f"--data.loader.{name.replace('_', '-')}: too small, found -1"):
        LoaderOptions(**{name: -1})


def test_crops_are_left_to_the_gpu_where_there_is_one_and_never_where_there_is_none() -> None:
    assert [resolve_crops_by("auto", on_cuda=on_cuda) for on_cuda in (True, False)] == ["gpu", "cpu"]
    assert resolve_crops_by("cpu", on_cuda=True) == "cpu"
    with pytest.raises(PipelineError, match=r"--data\.crops-by: .* need a CUDA device"):
        resolve_crops_by("gpu", on_cuda=False)
