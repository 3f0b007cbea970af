"""The network of SwAV: trunk, projection head and prototypes.

Crops come grouped by size, image by image; embeddings and scores leave crop by crop, which is the order the codes,
the queue and the loss want. The state dict is flat: a published ResNet-50 file differs by the prefix `module.` only
(swav_dali.model.names).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from swav_dali.config.sections import ModelConfig
from swav_dali.model.names import use_published_names
from swav_dali.model.prototypes import prototype_layer
from swav_dali.model.trunks import make_trunk


class SwavNet(nn.Module):
    """Trunk plus head and prototypes (arXiv 2006.09882, section 3)."""

    def __init__(
        self,
        arch: str,
        *,
        embedding_dim: int = 128,
        hidden_dim: int = 2048,
        num_prototypes: int | Sequence[int] = 3000,
        head_norm: bool = True,
        small_stem: bool = False,
    ) -> None:
        """Make and initialize the network, in float32 on the CPU.

        Args:
            arch: see swav_dali.model.trunks.make_trunk; ConfigError otherwise.
            embedding_dim: width of the embedding.
            hidden_dim: hidden width of the head; 0 makes it one linear layer.
            num_prototypes: rows of `prototypes.weight`, or of each head.
            head_norm: whether the head has BatchNorm after its hidden layer.
            small_stem: see make_trunk.
        """
        super().__init__()
        self.trunk, self.num_features = make_trunk(arch, small_stem=small_stem)
        self.projection_head = _projection_head(self.num_features, hidden_dim, embedding_dim, has_norm=head_norm)
        self.heads = (num_prototypes,) if isinstance(num_prototypes, int) else tuple(num_prototypes)
        self.prototypes = prototype_layer(embedding_dim, self.heads)
        use_published_names(self)

    def forward(self, groups: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings (crops, batch, dim), unit rows, and scores (crops, batch, prototypes), their cosines.

        The trunk runs once per group and the head once over all crops, which is also how BatchNorm sees them.
        What follows the head is float32 whatever the autocast: bfloat16 scores alone would shift every code by
        0.005 (L1), seven times the rounding of the published models, to save under 0.1 % of the arithmetic.

        Args:
            groups: crops of one size each, (batch, crops of the group, 3, s, s); a channels_last view stays one.
        """
        features = torch.cat([self.trunk(group.flatten(0, 1)) for group in groups])
        projected = self.projection_head(features)
        with torch.autocast(projected.device.type, enabled=False):
            projected = _crop_major(projected.to(self.prototype_weights[0].dtype), groups)
            embeddings = functional.normalize(projected, dim=-1)
            return embeddings, self.prototypes(embeddings)

    @torch.no_grad()
    def normalize_prototypes_(self) -> None:
        """Scale every prototype to unit length, in place."""
        for weight in self.prototype_weights:
            weight.copy_(functional.normalize(weight, dim=1))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Trunk features for evaluation, (batch, 3, s, s) -> (batch, num_features), by the running statistics."""
        was_training = self.training
        self.eval()
        pooled: Tensor = self.trunk(images)
        self.train(was_training)
        return pooled

    @property
    def ln_num_prototypes(self) -> float:
        """The loss ln K of predictions that say nothing; with several heads their mean."""
        return sum(map(math.log, self.heads)) / len(self.heads)

    @property
    def prototype_weights(self) -> list[nn.Parameter]:
        """The prototypes of every head, (prototypes, dim) each."""
        return list(self.prototypes.parameters())


def made_net(model: ModelConfig) -> SwavNet:
    """The network that a configuration describes."""
    return SwavNet(
        model.arch,
        embedding_dim=model.embedding_dim,
        hidden_dim=model.hidden_dim,
        num_prototypes=model.num_prototypes,
        head_norm=model.head_norm,
        small_stem=model.small_stem,
    )


def _crop_major(rows: Tensor, groups: Sequence[Tensor]) -> Tensor:
    """Reorder head outputs, (crops x batch, dim) image-major within each group, to (crops, batch, dim)."""
    sizes = [(group.shape[0], group.shape[1]) for group in groups]
    parts = rows.split([batch * crops for batch, crops in sizes])
    return torch.cat([part.unflatten(0, size).transpose(0, 1) for part, size in zip(parts, sizes, strict=True)])


def _projection_head(num_features: int, hidden_dim: int, embedding_dim: int, *, has_norm: bool) -> nn.Module:
    if hidden_dim == 0:
        return nn.Linear(num_features, embedding_dim)
    return nn.Sequential(
        nn.Linear(num_features, hidden_dim),
        *([nn.BatchNorm1d(hidden_dim)] if has_norm else []),
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dim, embedding_dim),
    )
