"""Files of every published form are read; what is no weights, or another network's, is said in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from swav_dali.errors import ConfigError
from swav_dali.exchange.network import network_of
from swav_dali.exchange.weights import read_weights
from swav_dali.model.net import SwavNet


def small(**sizes: int) -> SwavNet:
    torch.manual_seed(0)
    return SwavNet("tiny", **{"embedding_dim": 8, "hidden_dim": 16, "num_prototypes": 12, **sizes})


def published(state: dict[str, Any]) -> dict[str, Any]:
    return {f"module.{name}": value for name, value in state.items()}


FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "flat": lambda state: state,
    "published": published,
    "reference's training checkpoint": lambda state: {"epoch": 3, "state_dict": published(state), "optimizer": {}},
    "ours": lambda state: {"model": state, "optimizer": {}, "clock": {"step": 4}},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hidden_dim", [0, 16])
def test_every_form_gives_the_same_network(form: str, hidden_dim: int, tmp_path: Path) -> None:
    model = small(hidden_dim=hidden_dim)
    torch.save(FORMS[form](model.state_dict()), tmp_path / "weights.pth.tar")
    loaded = network_of(read_weights(tmp_path / "weights.pth.tar"))
    assert (loaded.arch, loaded.has_head) == ("tiny", True)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


@pytest.mark.parametrize("form", FORMS)
def test_several_heads_have_the_reference_s_names_and_come_back(form: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SwavNet("tiny", embedding_dim=8, hidden_dim=16, num_prototypes=[12, 9])
    names = [name for name in model.state_dict() if name.startswith("prototypes.")]
    assert names == ["prototypes.prototypes0.weight", "prototypes.prototypes1.weight"]
    torch.save(FORMS[form](model.state_dict()), tmp_path / "weights.pth.tar")
    loaded = network_of(read_weights(tmp_path / "weights.pth.tar"))
    assert (loaded.has_head, loaded.model.heads) == (True, (12, 9))
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_torchvisions_own_weights_are_a_trunk(arch: str, tmp_path: Path) -> None:
    save_file(torchvision.models.get_model(arch).state_dict(), tmp_path / "weights.safetensors")
    loaded = network_of(read_weights(tmp_path / "weights.safetensors"))
    assert (loaded.arch, loaded.has_head) == (arch, False)


def complaint(place: Path) -> str:
    with pytest.raises(ConfigError) as error:
        network_of(read_weights(place))
    line = str(error.value)
    assert "\n" not in line
    return line


def test_missing_and_misshapen_tensors_are_listed(tmp_path: Path) -> None:
    state = small().state_dict()
    del state["layer2.0.bn1.weight"]
    state["layer3.0.conv1.weight"] = state["layer3.0.conv1.weight"][:5]
    torch.save(state, tmp_path / "w.pth")
    line = complaint(tmp_path / "w.pth")
    assert "1 missing: layer2.0.bn1.weight; 1 of another shape: layer3.0.conv1.weight" in line


def test_a_network_of_another_kind_is_no_known_trunk(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "w.pth")
    assert "belong to no known trunk" in complaint(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not a file of weights"), (b"<html>404</html>", "not a file of weights"), (b"\x80\x04K\x01.", "weights")],
)
def test_a_file_that_holds_no_weights_is_said_to(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    (tmp_path / "w.safetensors").write_bytes(content)
    assert said in complaint(tmp_path / "w.pth")
    assert said in complaint(tmp_path / "w.safetensors")


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Payload()}, tmp_path / "w.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Payload()))
    for name in ("w.pth", "raw.pth"):
        assert "not a file of weights" in complaint(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_places_without_weights_say_what_they_are(tmp_path: Path) -> None:
    assert "no such file or folder" in complaint(tmp_path / "nothing")
    assert "a folder that is no run" in complaint(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "a run without a checkpoint" in complaint(tmp_path)
    (tmp_path / "meta.json").write_text("[1]")
    assert "not a checkpoint" in complaint(tmp_path)
