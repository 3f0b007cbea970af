"""How far a step moves the weights, against a formula; only steps that are looked at cost anything."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import Parameter

from swav_dali.watch.updates import Updates


def test_the_ratio_is_of_all_weights_together_and_told_once() -> None:
    weights = [Parameter(torch.randn(4, 3)), Parameter(torch.randn(5))]
    before = np.concatenate([weight.detach().double().numpy().ravel() for weight in weights])
    updates = Updates()
    updates.before(weights)
    with torch.no_grad():
        for weight in weights:
            weight.add_(0.01 * torch.randn_like(weight))
    updates.after(weights)
    now = np.concatenate([weight.detach().double().numpy().ravel() for weight in weights])
    expected = np.linalg.norm(now - before) / np.linalg.norm(before)
    assert abs(float(updates.figures()["update_ratio"]) - expected) < 1e-6 * expected + 1e-8
    assert math.isnan(float(updates.figures()["update_ratio"]))


def test_a_step_that_is_not_looked_at_leaves_nothing() -> None:
    updates = Updates()
    updates.after([Parameter(torch.ones(2))])
    assert math.isnan(float(updates.figures()["update_ratio"]))
