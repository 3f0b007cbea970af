"""From weights to a network that can be asked for features, and to what its pictures must look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from torch import Tensor

from pipelines.images import ImagePlan
from swav_dali.config.sections import KnnConfig
from swav_dali.errors import ConfigError
from swav_dali.exchange.architecture import architecture_of
from swav_dali.exchange.fitting import listed, misfits
from swav_dali.exchange.weights import Weights
from swav_dali.model.net import SwavNet

_HEAD = ("projection_head.", "prototypes.")
REFERENCE_MEAN, REFERENCE_STD = (0.485, 0.456, 0.406), (0.228, 0.224, 0.225)
"""The reference's; 0.228 is its own, 0.229 everyone else's."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network with loaded weights.

    Attributes:
        model: in evaluation mode, on the CPU.
        arch: its trunk's name.
        has_head: whether the projection head and the prototypes were in the weights too.
        weights: what was loaded.
    """

    model: SwavNet
    arch: str
    has_head: bool
    weights: Weights


def network_of(weights: Weights) -> Network:
    """The network that the weights belong to.

    Raises:
        ConfigError: a trunk that is unknown, or of which a tensor is missing or has another shape; each is named.
    """
    state = weights.state
    arch = str(weights.config.get("model.arch") or architecture_of(state, where=weights.file))
    stem = state.get("conv1.weight")
    has_small_stem = ":" not in arch and stem is not None and stem.shape[-1] == 3
    model = SwavNet(arch, small_stem=has_small_stem, **_head_sizes(state))
    known = model.state_dict()
    _refuse_misfits(state, known, weights)
    has_head = all(name in state for name in known if name.startswith(_HEAD))
    model.load_state_dict({name: state.get(name, value) for name, value in known.items()})
    return Network(model.eval().requires_grad_(False), arch, has_head, weights)


def preprocessing_of(config: Mapping[str, Any]) -> ImagePlan:
    """How pictures are resized, cut and normalized for the weights of a run with `config`, flattened.

    An empty one, as for files of others, gives the published evaluation: 256, 224, the reference's mean and std.
    """
    knn = KnnConfig()
    mean, std = (config.get(f"data.augment.{name}") for name in ("mean", "std"))
    return ImagePlan(
        resize=int(config.get("knn.resize", knn.resize)),
        size=int(config.get("knn.size", knn.size)),
        mean=_triple(mean or REFERENCE_MEAN),
        std=_triple(std or REFERENCE_STD),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _head_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of head and prototypes; small ones where the weights have none, which nobody will ask."""
    heads, hidden = _prototypes_of(state), state.get("projection_head.0.weight")
    if not heads:
        return {"embedding_dim": 2, "hidden_dim": 0, "num_prototypes": 2}
    return {
        "embedding_dim": heads[0].shape[1],
        "hidden_dim": 0 if hidden is None else hidden.shape[0],
        "num_prototypes": [head.shape[0] for head in heads],
        "head_norm": "projection_head.1.weight" in state,
    }


def _prototypes_of(state: Mapping[str, Tensor]) -> list[Tensor]:
    """Those of every head, in their order; none where the weights have none."""
    if "prototypes.weight" in state:
        return [state["prototypes.weight"]]
    names = (f"prototypes.prototypes{number}.weight" for number in range(len(state)))
    return [state[name] for name in takewhile(state.__contains__, names)]


def _refuse_misfits(state: Mapping[str, Tensor], known: Mapping[str, Tensor], weights: Weights) -> None:
    """All of the trunk must be there, of the rest what is there must fit."""
    missing, other = misfits(state, known)
    missing = [name for name in missing if not name.startswith(_HEAD)]
    if missing or other:
        raise ConfigError("the weights do not fit the network", where=weights.file, found=listed(missing, other))
