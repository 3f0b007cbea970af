"""Linear heads against torch's own SGD step by step, and against scikit-learn where both have converged."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from swav_dali.evaluate.linear import LinearOptions, accuracies, train_heads

CLASSES = 5


def blobs(count: int, dim: int, *, seed: int, spread: float = 1.5) -> tuple[Tensor, Tensor]:
    """Overlapping Gaussian classes whose features have very different scales."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(count) % CLASSES
    features = centres[labels] + spread * torch.randn(count, dim, generator=generator)
    return features * torch.logspace(-2, 2, dim) + 3, labels


def by_torch(features: Tensor, labels: Tensor, rate: float, options: LinearOptions, weight: Tensor) -> nn.Linear:
    """One head in float64 with torch's optimizer, cross-entropy and schedule, in the same order of images."""
    inputs = ((features - features.mean(0)) / features.std(0, correction=0)).double()
    head = nn.Linear(features.shape[1], CLASSES).double()
    with torch.no_grad():
        head.weight.copy_(weight.T)
        head.bias.zero_()
    scaled = rate * options.batch_size / 256
    optimizer = torch.optim.SGD(head.parameters(), lr=scaled, momentum=0.9, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    generator = torch.Generator().manual_seed(options.seed)
    torch.randn(len(options.rates), features.shape[1], CLASSES, generator=generator)
    for _ in range(options.epochs):
        for chosen in torch.randperm(len(features), generator=generator).split(options.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(head(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()
        schedule.step()
    return head


@pytest.mark.parametrize(("batch_size", "weight_decay"), [(32, 0.0), (50, 1e-2), (1000, 1e-4)])
def test_every_head_is_what_torchs_sgd_and_cosine_make_of_its_rate(batch_size: int, weight_decay: float) -> None:
    features, labels = blobs(230, 7, seed=0)
    options = LinearOptions(epochs=6, batch_size=batch_size, weight_decay=weight_decay, rates=(0.01, 0.3, 2.0))
    heads = train_heads(features, labels, num_classes=CLASSES, options=options)
    first = torch.randn(3, 7, CLASSES, generator=torch.Generator().manual_seed(options.seed)) * 0.01
    for place, rate in enumerate(options.rates):
        expected = by_torch(features, labels, rate, options, first[place])
        torch.testing.assert_close(heads.weight[place].T.double(), expected.weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(heads.bias[place, 0].double(), expected.bias, rtol=1e-4, atol=1e-5)


def test_a_converged_head_agrees_with_scikit_learn() -> None:
    (features, labels), (unseen, truth) = blobs(1000, 12, seed=1), blobs(2000, 12, seed=2)
    decay = 1e-3
    options = LinearOptions(epochs=60, batch_size=100, weight_decay=decay, rates=(0.1, 0.5))
    heads = train_heads(features, labels, num_classes=CLASSES, options=options)
    standard = [((rows - heads.mean) / heads.std).numpy() for rows in (features, unseen)]
    oracle = LogisticRegression(C=1 / (decay * len(features)), max_iter=500, tol=1e-8).fit(standard[0], labels.numpy())
    theirs = float((oracle.predict(standard[1]) == truth.numpy()).mean())
    assert 0.5 < theirs < 0.95
    for ours in accuracies(heads, unseen, truth):
        assert ours == pytest.approx(theirs, abs=0.005)


def test_accuracy_counts_labels_among_the_largest_logits() -> None:
    features, labels = blobs(300, 6, seed=3)
    heads = train_heads(features, labels, num_classes=CLASSES, options=LinearOptions(epochs=2, rates=(0.1, 0.2)))
    for top in (1, 2, CLASSES):
        order = heads.logits(features).argsort(-1, descending=True)[..., :top]
        expected = (order == labels[None, :, None]).any(-1).double().mean(1).tolist()
        assert accuracies(heads, features, labels, top=top, chunk=77) == pytest.approx(expected)
    assert accuracies(heads, features, labels, top=CLASSES) == [1.0, 1.0]


def test_a_feature_that_never_changes_does_no_harm() -> None:
    features, labels = blobs(100, 4, seed=4)
    features[:, 2] = 7.0
    heads = train_heads(features, labels, num_classes=CLASSES, options=LinearOptions(epochs=3))
    assert math.isfinite(float(heads.weight.sum()))
    assert float(heads.weight[:, 2].abs().max()) < 0.1  # as drawn, but for decay


def test_a_head_trained_apart_ends_as_it_would_among_all() -> None:
    features, labels = blobs(120, 5, seed=5)
    options = LinearOptions(epochs=3, batch_size=50)
    among = train_heads(features, labels, num_classes=CLASSES, options=options)
    for rank in range(4):
        part = slice(rank, None, 4)
        apart = train_heads(features, labels, num_classes=CLASSES, options=options, part=part)
        torch.testing.assert_close(apart.weight, among.weight[part])
        torch.testing.assert_close(apart.bias, among.bias[part])
