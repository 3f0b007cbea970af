"""A configuration with other values at some of its dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

T = TypeVar("T")


def changed(section: T, changes: Mapping[str, Any]) -> T:
    """`section`, a frozen configuration, with the values that `changes` has at dotted keys; TypeError for no key."""
    own = {key: value for key, value in changes.items() if "." not in key}
    for name in dict.fromkeys(key.partition(".")[0] for key in changes if "." in key):
        inner = {key.partition(".")[2]: value for key, value in changes.items() if key.startswith(f"{name}.")}
        own[name] = changed(getattr(section, name), inner)
    return replace(section, **own)  # type: ignore[type-var]
