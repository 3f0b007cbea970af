"""Names of parameters in files: flat, as published SwAV files and torchvision's have them.

Inside a SwavNet the trunk is a part of its own, `trunk.conv1.weight`; in a file it is `conv1.weight`, beside
`projection_head...` and `prototypes.weight`. Files therefore say nothing of how the network is put together.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from torch import nn

_TRUNK = "trunk."
_BESIDE = ("projection_head.", "prototypes.")


def published_name(name: str) -> str:
    """The name in a file of the SwavNet parameter or buffer called `name`."""
    return name.removeprefix(_TRUNK)


def module_name(name: str) -> str:
    """The name inside a SwavNet of what a file calls `name`."""
    return name if name.startswith(_BESIDE) else _TRUNK + name


def use_published_names(net: nn.Module) -> None:
    """Make state_dict and load_state_dict of `net`, a SwavNet, speak the published names, errors included."""
    net.register_state_dict_post_hook(_publish)
    net.register_load_state_dict_pre_hook(_take_over)
    net.register_load_state_dict_post_hook(_publish_complaints)


def _publish(_net: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    _rename(state, prefix, published_name)


def _take_over(_net: nn.Module, state: dict[str, Any], prefix: str, *_others: Any) -> None:
    _rename(state, prefix, module_name)


def _publish_complaints(_net: nn.Module, keys: Any) -> None:
    for names in (keys.missing_keys, keys.unexpected_keys):
        names[:] = [published_name(name) for name in names]


def _rename(state: MutableMapping[str, Any], prefix: str, rename: Callable[[str], str]) -> None:
    """Rename what is under `prefix`, in place and in order."""
    items = list(state.items())
    state.clear()
    for key, value in items:
        is_ours = key.startswith(prefix)
        state[prefix + rename(key.removeprefix(prefix)) if is_ours else key] = value
