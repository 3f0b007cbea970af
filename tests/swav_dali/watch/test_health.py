"""Health figures against NumPy on whole windows, over two ranks, and at the two ends: spread and collapsed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from swav_dali.ranks.world import World
from swav_dali.watch.health import Health, all_finite

SOUND, UNSOUND = torch.tensor(True), torch.tensor(False)


def batch(seed: int, *, images: int = 24, dim: int = 6, prototypes: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = functional.normalize(torch.randn(4, images, dim, generator=generator) + 0.5, dim=-1)
    codes = torch.randn(2, images, prototypes, generator=generator).mul(3).softmax(-1)
    return embeddings, codes, torch.rand((), generator=generator)


def read(health: Health, prototypes: Tensor | None = None) -> dict[str, float]:
    weights = torch.eye(10) if prototypes is None else prototypes
    return {name: value.item() for name, value in health.figures(weights).items()}


def by_numpy(batches: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
    rows = np.concatenate([embeddings.flatten(0, 1).double().numpy() for embeddings, _, _ in batches])
    codes = np.concatenate([codes.flatten(0, 1).double().numpy() for _, codes, _ in batches])
    share = np.bincount(codes.argmax(1), minlength=codes.shape[1]) / len(codes)
    used = share[share > 0]
    values = np.linalg.svd(rows, compute_uv=False)
    values /= values.sum()
    return {
        "code_entropy": float(-(codes * np.log(codes)).sum(1).mean()),
        "prototypes_used": float((share > 0).mean()),
        "prototype_perplexity": math.exp(-(used * np.log(used)).sum()) / len(share),
        "top_prototype_share": float(share.max()),
        "duplicate_prototypes": 0.0,
        "embedding_spread": float(rows.std(0, ddof=1).mean() * rows.shape[1] ** 0.5),
        "rankme": math.exp(-(values * np.log(values)).sum()),
        "grad_norm": float(np.mean([norm.item() for _, _, norm in batches])),
    }


def test_a_window_is_all_its_steps_and_the_next_one_starts_empty() -> None:
    health, batches = Health(), [batch(seed) for seed in range(3)]
    for each in batches:
        health.update(*each, is_sound=SOUND)
    assert read(health) == pytest.approx(by_numpy(batches), rel=1e-5)
    health.update(*batches[1], is_sound=SOUND)
    assert read(health) == pytest.approx(by_numpy(batches[1:2]), rel=1e-5)


def _two_steps(world: World) -> dict[str, float]:
    health = Health()
    for seed in (10 + world.rank, 20 + world.rank):
        health.update(*batch(seed), is_sound=SOUND)
    return read(health)


def test_over_two_ranks_the_figures_are_those_of_all_their_images(run_ranks: Callable[..., list[Any]]) -> None:
    expected = by_numpy([batch(seed) for seed in (10, 11, 20, 21)])
    for figures in run_ranks(_two_steps, 2):
        assert figures == pytest.approx(expected, rel=1e-5)


def test_a_step_that_is_not_sound_leaves_no_trace() -> None:
    health, sound = Health(), batch(1)
    broken = tuple(torch.full_like(tensor, torch.nan) for tensor in batch(2))
    health.update(*broken, is_sound=UNSOUND)
    health.update(*sound, is_sound=SOUND)
    assert read(health) == pytest.approx(by_numpy([sound]), rel=1e-5)


def test_a_collapsed_model_shows_in_every_figure() -> None:
    health = Health()
    embeddings = functional.normalize(torch.ones(4, 8, 16), dim=-1)
    health.update(embeddings, torch.full((2, 8, 30), 1 / 30), torch.tensor(0.0), is_sound=SOUND)
    figures = read(health, torch.ones(30, 16))
    assert figures["code_entropy"] == pytest.approx(math.log(30), rel=1e-6)
    assert figures["embedding_spread"] == pytest.approx(0, abs=1e-3)
    assert figures["rankme"] == pytest.approx(1, abs=0.02)
    assert figures["prototypes_used"] == pytest.approx(1 / 30)
    assert figures["prototype_perplexity"] == pytest.approx(1 / 30)
    assert figures["top_prototype_share"] == 1
    assert figures["duplicate_prototypes"] == pytest.approx(29 / 30)


def test_duplicates_are_counted_across_the_blocks_of_the_cosine_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swav_dali.watch.health._ROWS", 3)
    prototypes = torch.eye(8)[[0, 1, 2, 0, 4, 5, 6, 1]] * torch.arange(1.0, 9.0)[:, None]  # of any length
    health = Health()
    health.update(*batch(0), is_sound=SOUND)
    assert read(health, prototypes)["duplicate_prototypes"] == pytest.approx(2 / 8)
    near = torch.tensor([[1.0, 0.0], [math.cos(0.13), math.sin(0.13)], [math.cos(0.28), math.sin(0.28)]])
    health.update(*batch(0), is_sound=SOUND)
    assert read(health, near)["duplicate_prototypes"] == pytest.approx(1 / 3)  # cosines 0.9916, 0.9888 and 0.9611


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_element_decides_whether_weights_are_finite(bad: float) -> None:
    weights = [torch.ones(3, 4), torch.ones(5)]
    assert all_finite(weights)
    weights[1][2] = bad
    assert not all_finite(weights)


def test_several_heads_are_looked_at_one_by_one() -> None:
    """The same head twice has the figures of one; a dead half of another shows in the means."""
    embeddings, codes, norm = batch(0)
    one, two, mixed = Health(), Health((10, 10)), Health((10, 10))
    one.update(embeddings, codes, norm, SOUND)
    two.update(embeddings, torch.cat([codes, codes], 2), norm, SOUND)
    first = functional.one_hot(torch.zeros(2, 24, dtype=torch.int64), 10).float()
    mixed.update(embeddings, torch.cat([codes, first], 2), norm, SOUND)
    alone = read(one)
    assert read(two, torch.cat([torch.eye(10), torch.eye(10)])) == pytest.approx(alone)
    found = read(mixed, torch.cat([torch.eye(10), torch.ones(10, 10)]))
    assert found["top_prototype_share"] == 1
    assert found["prototypes_used"] == pytest.approx((alone["prototypes_used"] + 0.1) / 2)
    assert found["duplicate_prototypes"] == pytest.approx(0.45)
    assert found["code_entropy"] == pytest.approx(alone["code_entropy"] / 2)
