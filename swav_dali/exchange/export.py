"""Weights in the forms that others read: torchvision, timm, the reference, safetensors, ONNX.

Every form holds the same tensors; what differs is names, wrapping and what else lies beside them. A form that has no
model for the trunk is an error that says which forms have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from shards.errors import missing_package
from swav_dali.errors import ConfigError
from swav_dali.exchange.backbone import Backbone
from swav_dali.exchange.card import model_card
from swav_dali.exchange.network import Network, preprocessing_of

_TORCHVISION = ("resnet18", "resnet34", "resnet50")
_HEAD = ("projection_head.", "prototypes.")


def export(network: Network, form: str, out: Path) -> list[Path]:
    """Write `network` to `out` in a form of FORMS; returns the files written.

    Args:
        network: loaded weights, on the CPU.
        form: a key of FORMS.
        out: a file, or for `timm` a folder.

    Raises:
        ConfigError: the form has no such model, the weights lack what it wants, or `out` cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return FORMS[form](network, out)
    except OSError as error:
        raise ConfigError("the export cannot be written", where=out, found=error) from error


def _torchvision(network: Network, out: Path) -> list[Path]:
    _require_known(network, "torchvision")
    torch.save(_trunk(network), out)
    return [out]


def _reference(network: Network, out: Path) -> list[Path]:
    if not network.has_head:
        raise ConfigError(
            "the reference's form wants head and prototypes",
            where=network.weights.file,
            found="a trunk alone",
            fix="--to safetensors | torchvision | timm",
        )
    torch.save({f"module.{name}": value for name, value in network.model.state_dict().items()}, out)
    return [out]


def _safetensors(network: Network, out: Path) -> list[Path]:
    state = network.model.state_dict() if network.has_head else _trunk(network)
    save_file({name: value.contiguous() for name, value in state.items()}, out, metadata={"format": "pt"})
    return [out]


def _timm(network: Network, out: Path) -> list[Path]:
    """A folder as `timm.create_model("local-dir:OUT")` opens it and as a hub repository holds it."""
    architecture = network.arch.removeprefix("timm:")
    if network.arch == architecture:
        _require_known(network, "timm")
    out.mkdir(parents=True, exist_ok=True)
    state = {_timm_name(name): value.contiguous() for name, value in _trunk(network).items()}
    files = [out / name for name in ("model.safetensors", "config.json", "README.md")]
    save_file(state, files[0], metadata={"format": "pt"})
    files[1].write_text(json.dumps(_timm_config(network, architecture), indent=2) + "\n", encoding="utf-8")
    files[2].write_text(model_card(network), encoding="utf-8")
    return files


def _onnx(network: Network, out: Path) -> list[Path]:
    """The trunk: `images` (batch, 3, size, size), normalized -> `features` (batch, num_features)."""
    try:
        import onnxscript  # noqa: F401  torch's exporter imports it only in mid-work
    except ImportError as error:
        raise missing_package("onnxscript", "export to ONNX", extra="export") from error
    size = preprocessing_of(network.weights.config).size
    torch.onnx.export(
        Backbone(network).eval(),
        (torch.zeros(2, 3, size, size),),
        out,
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return [out]


FORMS: dict[str, Callable[[Network, Path], list[Path]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "reference": _reference,
    "safetensors": _safetensors,
    "onnx": _onnx,
}


def _trunk(network: Network) -> dict[str, Tensor]:
    return {name: value for name, value in network.model.state_dict().items() if not name.startswith(_HEAD)}


def _require_known(network: Network, library: str) -> None:
    if network.arch not in _TORCHVISION:
        raise ConfigError(
            f"{library} has no model of this shape",
            where="--to",
            found=network.arch,
            expected=" | ".join(_TORCHVISION),
            fix="--to safetensors | reference | onnx, which take any trunk",
        )


def _timm_name(name: str) -> str:
    return name.removeprefix("trunk.")


def _timm_config(network: Network, architecture: str) -> dict[str, object]:
    plan = preprocessing_of(network.weights.config)
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": network.model.num_features,
        "global_pool": "avg",
        "pretrained_cfg": {
            "input_size": [3, plan.size, plan.size],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": plan.size / plan.resize,
            "crop_mode": "center",
            "mean": list(plan.mean),
            "std": list(plan.std),
            "num_classes": 0,
            "first_conv": "conv1",
            "classifier": "fc",
        },
    }
