"""Several sets of prototypes over the same embeddings: one head each, trained on codes of its own.

More heads average out what one set of prototypes happens to divide. Names in files are the reference's:
`prototypes.prototypes0.weight` and so on, where one head is `prototypes.weight`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PrototypeHeads(nn.Module):
    """Heads side by side; scores and rows of all of them come one head after the other."""

    def __init__(self, embedding_dim: int, heads: Sequence[int]) -> None:
        """Make and initialize a linear layer without bias for each number of prototypes."""
        super().__init__()
        for number, num_prototypes in enumerate(heads):
            self.add_module(f"prototypes{number}", nn.Linear(embedding_dim, num_prototypes, bias=False))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scores with all prototypes, (..., dim) -> (..., prototypes of all heads)."""
        return torch.cat([head(embeddings) for head in self.children()], dim=-1)

    @property
    def weight(self) -> Tensor:
        """All rows, (prototypes of all heads, dim); a copy."""
        return torch.cat(list(self.parameters()))


def prototype_layer(embedding_dim: int, heads: Sequence[int]) -> nn.Linear | PrototypeHeads:
    """One head as a plain layer, several side by side."""
    if len(heads) == 1:
        return nn.Linear(embedding_dim, heads[0], bias=False)
    return PrototypeHeads(embedding_dim, heads)
