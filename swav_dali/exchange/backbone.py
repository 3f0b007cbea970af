"""A pretrained trunk as a plain module with its preprocessing, for whoever wants features or a start to fine-tune."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from swav_dali.exchange.network import Network, network_of, preprocessing_of
from swav_dali.exchange.weights import read_weights


def load_backbone(place: str | Path) -> Backbone:
    """The trunk of the weights at `place`, in evaluation mode on the CPU.

    Args:
        place: a run folder, one of its checkpoints, or a file: published SwAV weights, torchvision's, safetensors.
            The published SwAV weights are CC BY-NC 4.0.

    Raises:
        ConfigError: nothing that can be read, or no known trunk.
    """
    return Backbone(network_of(read_weights(Path(place)))).eval()


class Backbone(nn.Module):
    """A trunk as a plain module: (batch, 3, s, s) -> features (batch, num_features)."""

    def __init__(self, network: Network) -> None:
        """Take the trunk of `network`; its parameters ask for gradients again, so that it can be fine-tuned."""
        super().__init__()
        self.trunk = network.model.trunk.requires_grad_(True)
        self.num_features = network.model.num_features
        self.preprocessing = preprocessing_of(network.weights.config)

    def forward(self, images: Tensor) -> Tensor:
        """Globally pooled features."""
        features: Tensor = self.trunk(images)
        return features

    def transform(self) -> nn.Module:
        """The preprocessing in torchvision's form: a PIL picture or uint8 (3, height, width) to (3, size, size)."""
        from torchvision.transforms import v2

        plan = self.preprocessing
        steps = [
            v2.ToImage(),
            v2.RGB(),
            v2.Resize(plan.resize, antialias=True),
            v2.CenterCrop(plan.size),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(plan.mean, plan.std),
        ]
        composed: nn.Module = v2.Compose(steps)
        return composed
