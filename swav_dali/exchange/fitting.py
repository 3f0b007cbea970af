"""Whether weights fit a network, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

_NAMED = 5


def misfits(state: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Names of `known` tensors that `state` lacks, and of those that it has in another shape.

    How often BatchNorm has counted is no weight: old files lack it.
    """
    missing = [name for name in known if name not in state and not name.endswith("num_batches_tracked")]
    other = [name for name, value in known.items() if name in state and state[name].shape != value.shape]
    return missing, other


def listed(missing: Sequence[str], other: Sequence[str]) -> str:
    """Both in words, the first few of each by name."""
    return "; ".join(
        f"{len(names)} {kind}: {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
        for kind, names in (("missing", missing), ("of another shape", other))
        if names
    )
