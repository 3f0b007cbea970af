"""Health figures at the two ends: a spread model and a collapsed one."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from swav_dali.watch.health import all_finite, health


def test_a_collapsed_model_shows_in_every_figure() -> None:
    embeddings = functional.normalize(torch.ones(4, 8, 16), dim=-1)
    codes = torch.full((2, 8, 30), 1 / 30)
    figures = health(embeddings, codes)
    assert figures["code_entropy"].item() == pytest.approx(math.log(30), rel=1e-6)
    assert figures["embedding_spread"].item() == pytest.approx(0, abs=1e-6)
    assert figures["prototypes_used"].item() == pytest.approx(1 / 30)
    assert figures["top_prototype_share"].item() == 1


def test_one_hot_codes_on_different_prototypes_have_no_entropy_and_use_all() -> None:
    embeddings = functional.normalize(torch.randn(4, 512, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    codes = torch.eye(16).repeat(2, 1, 1)
    figures = health(embeddings, codes)
    assert figures["code_entropy"].item() == 0
    assert figures["prototypes_used"].item() == 1
    assert figures["top_prototype_share"].item() == pytest.approx(1 / 16)
    assert figures["embedding_spread"].item() == pytest.approx(1, abs=0.05)


def test_figures_of_a_batch_written_by_hand() -> None:
    """Two images, one assigned crop, four prototypes: a half-half code and a sure one, both for prototype 1."""
    codes = torch.tensor([[[0.0, 0.5, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]]])
    embeddings = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])  # deviations sqrt 2 and 0, mean sqrt 2 / 2, times sqrt 2
    figures = {name: value.item() for name, value in health(embeddings, codes).items()}
    assert figures == pytest.approx(
        {
            "code_entropy": math.log(2) / 2,
            "prototypes_used": 1 / 4,
            "top_prototype_share": 1.0,
            "embedding_spread": 1.0,
        }
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_element_decides_whether_weights_are_finite(bad: float) -> None:
    weights = [torch.ones(3, 4), torch.ones(5)]
    assert all_finite(weights)
    weights[1][2] = bad
    assert not all_finite(weights)
