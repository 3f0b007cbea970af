"""What a configuration names is what is made."""

from __future__ import annotations

import pytest
import torch
from stepping import one_step
from torch import Tensor

from swav_dali.config.optim import OptimConfig
from swav_dali.config.sections import ModelConfig, RunConfig
from swav_dali.method.adamw import AdamW
from swav_dali.ranks.world import World
from swav_dali.run.make import make_parts
from swav_dali.run.parts import ModelParts

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
SMALL = {"arch": "tiny", "embedding_dim": 16, "hidden_dim": 32, "num_prototypes": 10}


def made(optim: OptimConfig | None = None, **model: object) -> ModelParts:
    torch.manual_seed(0)
    config = RunConfig(model=ModelConfig(**SMALL | model), optim=optim or OptimConfig(), precision="float32")
    return make_parts(config, ALONE)


def two_steps(parts: ModelParts) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        groups = [torch.randn(4, n, 3, s, s, generator=generator) for n, s in ((2, 32), (1, 16))]
        result = one_step(parts.net, groups, model=parts.model, optimizer=parts.optimizer, learning_rate=0.1)
    return result.loss


def test_options_of_model_and_optimizer_reach_what_is_made() -> None:
    parts = made(OptimConfig(optimizer="adamw", beta2=0.95), head_norm=False, small_stem=True, num_prototypes=7)
    keys = parts.model.state_dict()
    assert keys["conv1.weight"].shape == (32, 3, 3, 3)
    assert "projection_head.2.weight" in keys
    assert len(keys["prototypes.weight"]) == 7
    assert isinstance(parts.optimizer, AdamW)
    assert parts.optimizer.param_groups[0]["betas"] == (0.9, 0.95)


@pytest.mark.slow
def test_a_compiled_trunk_trains_like_another_under_the_same_names() -> None:
    compiled, plain = made(compile=True), made()
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())
    torch.testing.assert_close(two_steps(compiled), two_steps(plain), rtol=1e-4, atol=0)
    assert compiled.model.trunk._compiled_call_impl is not None
    assert compiled.model.features(torch.zeros(1, 3, 32, 32)).shape == (1, compiled.model.num_features)
