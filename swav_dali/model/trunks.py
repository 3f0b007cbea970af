"""The trunk that a name stands for: one of ours, or torchvision's or timm's without its classifier.

A trunk is a module from pictures (batch, 3, s, s) to features (batch, num_features) for every size s of the crops.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

import torchvision
from torch import nn

from swav_dali.errors import ConfigError
from swav_dali.model.resnet import ResNet

_CLASSIFIERS = ("fc", "classifier", "head", "heads")  # what torchvision calls the part after the features

_SEVERAL_OUTPUTS = ("googlenet", "inception_v3")


class Trunk(NamedTuple):
    """A module and the width of its features."""

    module: nn.Module
    num_features: int


def make_trunk(arch: str, *, small_stem: bool = False) -> Trunk:
    """Make and initialize a trunk, in float32 on the CPU; no weights are fetched.

    Args:
        arch: a name in swav_dali.model.resnet.ARCHITECTURES, torchvision:NAME or timm:NAME.
        small_stem: see ResNet; ours only.

    Raises:
        ConfigError: an unknown name, a library that is missing, or a network that has no features to give.
    """
    library, _, name = arch.rpartition(":")
    if library and small_stem:
        raise ConfigError(
            "only our own ResNets have a small stem", where="--model.small-stem", found=arch, fix="choose resnet18"
        )
    if library == "torchvision":
        return _torchvisions(name)
    if library == "timm":
        return _timms(name)
    trunk = ResNet(arch, small_stem=small_stem)
    return Trunk(trunk, trunk.num_features)


def _torchvisions(name: str) -> Trunk:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    net: nn.Module = nn.Identity() if name in _SEVERAL_OUTPUTS else torchvision.models.get_model(name, weights=None)
    for part in _CLASSIFIERS:
        linears = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)]
        last = next((path for path in reversed(linears) if path.split(".")[0] == part), None)
        if last is not None:
            num_features = int(net.get_submodule(last).in_features)  # type: ignore[arg-type]
            net.set_submodule(last, nn.Identity())
            return Trunk(net, num_features)
    raise ConfigError(
        "this network does not end in one linear classifier, so its features are not known",
        where="--model.arch",
        found=f"torchvision:{name}",
        fix="take it from timm",
    )


def _timms(name: str) -> Trunk:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError(
            "timm is not installed", where="--model.arch", found=f"timm:{name}", fix="pip install timm"
        ) from error
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    net: nn.Module = _any_size(name)
    return Trunk(net, int(getattr(net, "head_hidden_size", net.num_features)))  # type: ignore[arg-type]


def _any_size(name: str) -> nn.Module:
    """Transformers take one size of pictures unless told otherwise; the others do not know the option."""
    import timm

    try:
        net: nn.Module = timm.create_model(name, num_classes=0, dynamic_img_size=True)
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        net = timm.create_model(name, num_classes=0)
    return net


def _unknown(library: str, name: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=3)
    return ConfigError(
        f"{library} has no such network",
        where="--model.arch",
        found=f"{library}:{name}",
        expected=f"for instance {', '.join(near or known[:3])}",
    )
