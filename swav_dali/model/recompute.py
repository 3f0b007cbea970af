"""Activations that are computed again in backward instead of being kept: memory for a third more arithmetic.

Of each block of the trunk only the input is kept. The second forward has the bits of the first, and it leaves the
running statistics of BatchNorm alone, which have seen the crops already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from swav_dali.errors import ConfigError

_LISTS = ("layer1", "layer2", "layer3", "layer4", "blocks", "layers", "stages", "features")
"""What libraries call the sequences of a trunk's blocks."""


def recompute_blocks(trunk: nn.Module) -> int:
    """Make every block of `trunk` keep nothing but its input for backward; how many there are.

    Raises:
        ConfigError: a trunk whose blocks are not known.
    """
    blocks = _blocks(trunk)
    if not blocks:
        raise ConfigError(
            "the blocks of this trunk are not known",
            where="--model.recompute",
            found=type(trunk).__name__,
            expected=f"blocks in a sequence called {', '.join(_LISTS)}",
            fix="--model.no-recompute, and --optim.micro-batches to save memory",
        )
    for block in blocks:
        block.forward = partial(_recomputed, block, block.forward)
    return len(blocks)


def _recomputed(block: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=partial(_contexts, block))


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Those of the first forward and of the second."""
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """BatchNorm normalizes by the batch as it does in training, and counts and averages into copies."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    kept = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        norm._buffers.update({name: None if buffer is None else buffer.clone() for name, buffer in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)


def _blocks(trunk: nn.Module) -> list[nn.Module]:
    """The outermost modules of the outermost lists that are more than one layer."""
    found: dict[str, nn.Module] = {}
    for path, module in trunk.named_modules():
        is_list = path.rpartition(".")[2] in _LISTS and isinstance(module, nn.Sequential | nn.ModuleList)
        if is_list and not any(path.startswith(f"{outer}.") for outer in found):
            found |= {f"{path}.{name}": child for name, child in module.named_children() if any(child.children())}
    return list(found.values())
