"""Tools for tests that compare what loaders yield, bit for bit."""

from __future__ import annotations

import torch

from pipelines.batch import Loader


def bits(loader: Loader, count: int) -> list[list[torch.Tensor]]:
    """The next `count` batches over as many epochs as it takes."""
    found: list[list[torch.Tensor]] = []
    while len(found) < count:
        for batch in loader:
            found.append([*batch.groups, batch.labels, batch.sample_ids])
            if len(found) == count:
                break
    return found


def equal(ours: list[list[torch.Tensor]], theirs: list[list[torch.Tensor]]) -> bool:
    return all(
        torch.equal(one, other) for a, b in zip(ours, theirs, strict=True) for one, other in zip(a, b, strict=True)
    )
