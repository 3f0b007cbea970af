"""Sinkhorn codes against the textbook formula, at the edges of its range, and over several real processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from swav_dali.config.sections import SwavConfig
from swav_dali.method.codes import assign_codes, sinkhorn
from swav_dali.ranks.world import World

CPU = torch.device("cpu")
EPSILONS = [0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0]


def textbook(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """exp, then rows and columns in turn, as the paper writes it; longdouble holds exp(2 / 0.005)."""
    q = np.exp(scores.numpy().astype(np.longdouble) / epsilon)
    for _ in range(iterations):
        q /= q.sum(axis=0)
        q /= q.sum(axis=1, keepdims=True)
    return torch.from_numpy(q.astype(np.float64))


def cosines(images: int, prototypes: int, *, spread: float = 1.0, num_assign: int = 2, seed: int = 0) -> Tensor:
    """Cosines of embeddings around one direction (`spread` small) or everywhere, float64."""
    generator = torch.Generator().manual_seed(seed)

    def rows(num: int, width: float) -> Tensor:
        x = width * torch.randn(num, 16, generator=generator, dtype=torch.float64)
        x[:, 0] += 1 - width
        return torch.nn.functional.normalize(x, dim=1)

    return torch.stack([rows(images, spread) @ rows(prototypes, 1.0).T for _ in range(num_assign)])


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("spread", [1.0, 0.3, 0.01])
@pytest.mark.parametrize(("images", "prototypes", "iterations"), [(8, 30, 3), (40, 12, 3), (16, 16, 1), (5, 7, 20)])
def test_codes_are_the_textbooks(epsilon: float, spread: float, images: int, prototypes: int, iterations: int) -> None:
    scores = cosines(images, prototypes, spread=spread)
    codes = sinkhorn(scores, epsilon, iterations)
    assert codes.dtype == torch.float64
    for code, score in zip(codes, scores, strict=True):
        torch.testing.assert_close(code, textbook(score, epsilon, iterations), rtol=0, atol=1e-11)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_scores_give_float32_codes_as_exact_as_the_scores_allow(epsilon: float, dtype: torch.dtype) -> None:
    scores = cosines(32, 20, spread=0.5).to(dtype)
    codes = sinkhorn(scores, epsilon, 3)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.double(), sinkhorn(scores.double(), epsilon, 3), rtol=1e-6, atol=1e-7)


def made_batch_and_queue(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of 4 crops, prototypes and a queue, float32: everywhere, around the prototypes, or all in one place."""
    generator = torch.Generator().manual_seed(1)
    prototypes = torch.nn.functional.normalize(torch.randn(300, 32, generator=generator), dim=1)

    def rows(crops: int, num: int) -> Tensor:
        noise = torch.randn(crops, num, 32, generator=generator)
        near = prototypes[torch.randint(300, (crops, num), generator=generator)]
        centre = {"everywhere": torch.zeros(32), "near": 3 * near, "collapsed": 100 * prototypes[0]}[kind]
        return torch.nn.functional.normalize(noise / 32**0.5 + centre, dim=2)

    return rows(4, 16) @ prototypes.T, prototypes, rows(2, 112)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("kind", ["everywhere", "near", "collapsed"])
@pytest.mark.parametrize("dead", [0, 5])
def test_float32_codes_with_a_queue_are_within_a_millionth_of_the_textbooks(
    kind: str, epsilon: float, dead: int
) -> None:
    scores, prototypes, queue = made_batch_and_queue(kind)
    if dead:
        scores[..., :dead], prototypes[:dead] = 0.0, 0.0
    codes = assign_codes(scores, prototypes, queued=queue, swav=SwavConfig(epsilon=epsilon))
    assert codes.dtype == torch.float32
    for code, batch, queued in zip(codes, scores, queue, strict=False):
        exact = textbook(torch.cat([queued @ prototypes.T, batch]).double(), epsilon, 3)[-16:]
        torch.testing.assert_close(code.double(), exact, rtol=2e-5, atol=1e-6)
        torch.testing.assert_close(code.sum(1), torch.ones(16), rtol=1e-6, atol=0)


def test_autocast_changes_nothing() -> None:
    scores = cosines(32, 20).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = sinkhorn(scores, 0.05, 3)
    assert torch.equal(inside, sinkhorn(scores, 0.05, 3))


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("level", [-1.0, 0.0, 0.97, 1.0])
def test_a_batch_of_one_picture_is_spread_evenly(epsilon: float, level: float) -> None:
    same_everywhere = torch.full((2, 8, 30), level)
    one_row = cosines(1, 30, seed=1).float().expand(2, 8, 30)
    for scores in (same_everywhere, one_row):
        codes = sinkhorn(scores, epsilon, 3)
        torch.testing.assert_close(codes, torch.full_like(codes, 1 / 30), rtol=1e-6, atol=0)


@pytest.mark.parametrize("epsilon", [0.0001, 0.001, *EPSILONS])
def test_codes_stay_finite_with_opposite_and_zero_prototypes_and_rounded_cosines(epsilon: float) -> None:
    scores = cosines(8, 30).float()
    scores[..., 0] = -1.0  # no image is near
    scores[..., 1] = 0.0  # a prototype of zeros
    scores[..., 2] = 1.0 + 1e-6  # a cosine after rounding
    codes = sinkhorn(scores, epsilon, 3)
    assert codes.isfinite().all()
    torch.testing.assert_close(codes.sum(2), torch.ones(2, 8), rtol=1e-5, atol=0)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_a_prototype_no_image_is_near_gets_its_share_like_the_textbooks(epsilon: float) -> None:
    scores = cosines(8, 30)
    scores[..., 0] = -1.0
    torch.testing.assert_close(sinkhorn(scores, epsilon, 3)[0], textbook(scores[0], epsilon, 3), rtol=0, atol=1e-11)


@pytest.mark.parametrize("iterations", [1, 3, 300])
def test_every_image_has_mass_one_and_every_prototype_tends_to_an_equal_share(iterations: int) -> None:
    codes = sinkhorn(cosines(600, 20, spread=0.5), 0.05, iterations)
    torch.testing.assert_close(codes.sum(2), torch.ones(2, 600, dtype=torch.float64), rtol=1e-12, atol=0)
    unevenness = (codes.sum(1) / 30 - 1).abs().max().item()
    assert unevenness < {1: 1.5, 3: 0.5, 300: 1e-6}[iterations]


def test_adding_a_constant_changes_nothing() -> None:
    scores = cosines(8, 30)
    torch.testing.assert_close(sinkhorn(scores - 0.7, 0.05, 3), sinkhorn(scores, 0.05, 3), rtol=1e-11, atol=0)


def codes_of_share(world: World, scores: np.ndarray, epsilons: list[float]) -> list[np.ndarray]:
    share = torch.from_numpy(scores).chunk(world.size, dim=1)[world.rank]
    return [sinkhorn(share, epsilon, 3).numpy() for epsilon in epsilons]


@pytest.mark.parametrize("size", [2, 4])
def test_several_processes_agree_with_one_on_the_whole_batch(size: int, run_ranks: Callable[..., list[Any]]) -> None:
    scores = cosines(16, 30)
    by_rank = run_ranks(codes_of_share, size, scores.numpy(), EPSILONS)
    for epsilon, shares in zip(EPSILONS, zip(*by_rank, strict=True), strict=True):
        whole = sinkhorn(scores, epsilon, 3).numpy()
        np.testing.assert_allclose(np.concatenate(shares, axis=1), whole, rtol=0, atol=1e-12)
