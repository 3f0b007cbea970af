"""--init: a new run with weights of any origin, whatever its other options."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swav_dali.errors import ConfigError
from swav_dali.model.net import SwavNet
from swav_dali.run.init import begin_with


def net(seed: int, arch: str = "tiny", **changes: int) -> SwavNet:
    torch.manual_seed(seed)
    return SwavNet(arch, **{"embedding_dim": 8, "hidden_dim": 16, "num_prototypes": 12, **changes})


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Weights as others publish them: every name behind `module.`."""
    path = tmp_path / "theirs.pth"
    torch.save({f"module.{name}": value for name, value in net(1).state_dict().items()}, path)
    return path


def test_every_tensor_is_taken_over(published: Path) -> None:
    model = net(2)
    assert begin_with(model, published) == "begins with the weights of theirs"
    for (name, ours), theirs in zip(model.state_dict().items(), net(1).state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_parts_of_another_size_start_fresh_and_are_named(published: Path) -> None:
    model = net(2, num_prototypes=20, hidden_dim=0)
    assert begin_with(model, published) == "begins with the weights of theirs; fresh: projection_head, prototypes"
    fresh, theirs = net(2, num_prototypes=20, hidden_dim=0), net(1)
    assert torch.equal(model.prototypes.weight, fresh.prototypes.weight)
    assert torch.equal(model.state_dict()["conv1.weight"], theirs.state_dict()["conv1.weight"])


def test_another_trunk_is_refused_with_the_option_that_names_it(published: Path) -> None:
    with pytest.raises(ConfigError, match=r"--init: weights of another trunk.*--model\.arch"):
        begin_with(net(2, arch="resnet18"), published)


def test_a_file_without_weights_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(ConfigError, match="not a file of weights") as caught:
        begin_with(net(2), tmp_path / "notes.txt")
    assert "\n" not in str(caught.value)
