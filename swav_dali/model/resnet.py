"""The convolutional trunks: residual networks (arXiv 1512.03385) with torchvision's parameter names.

`width` multiplies every channel, unlike torchvision's wide variants, which widen the inner 3x3 only; the stride
sits on the 3x3 (v1.5). ResNet-50 weights of torchvision and of the published SwAV files load name by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swav_dali.errors import ConfigError


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; (batch, in, s, s) -> (batch, width, s / stride, s / stride)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        """Make the layers; `stride` is on the first convolution."""
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Residual sum, rectified."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        rectified: Tensor = self.relu(out)
        return rectified


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut; (batch, in, s, s) -> (batch, 4 width, s / stride, s / stride)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        """Make the layers; `stride` is on the 3x3."""
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = _conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Residual sum, rectified."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        rectified: Tensor = self.relu(out)
        return rectified


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What tells one trunk from another.

    Attributes:
        block: residual block.
        num_blocks: blocks in each of the four layers.
        width: channels of the stem; the layers have 1, 2, 4 and 8 times as many inside a block.
    """

    block: type[BasicBlock] | type[Bottleneck]
    num_blocks: tuple[int, int, int, int]
    width: int


ARCHITECTURES = {
    "tiny": Architecture(block=BasicBlock, num_blocks=(1, 1, 1, 1), width=32),
    "resnet18": Architecture(block=BasicBlock, num_blocks=(2, 2, 2, 2), width=64),
    "resnet34": Architecture(block=BasicBlock, num_blocks=(3, 4, 6, 3), width=64),
    "resnet50": Architecture(block=Bottleneck, num_blocks=(3, 4, 6, 3), width=64),
    "resnet50w2": Architecture(block=Bottleneck, num_blocks=(3, 4, 6, 3), width=128),
    "resnet50w4": Architecture(block=Bottleneck, num_blocks=(3, 4, 6, 3), width=256),
    "resnet50w5": Architecture(block=Bottleneck, num_blocks=(3, 4, 6, 3), width=320),
}


class ResNet(nn.Module):
    """A trunk without a classifier."""

    def __init__(self, name: str, *, small_stem: bool = False) -> None:
        """Make and initialize the trunk called `name`; raises ConfigError for an unknown one.

        `small_stem` is a 3x3 convolution of stride 1 without pooling, as for CIFAR.
        """
        super().__init__()
        if name not in ARCHITECTURES:
            expected = " | ".join(ARCHITECTURES)
            raise ConfigError("unknown backbone", where="--model.arch", found=repr(name), expected=expected)
        arch = ARCHITECTURES[name]
        self.num_features = 8 * arch.width * arch.block.expansion
        self.conv1 = _conv(3, arch.width, 3) if small_stem else _conv(3, arch.width, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(arch.width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = _layers(arch)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.apply(_initialize_convolution)

    def forward(self, images: Tensor) -> Tensor:
        """Globally pooled features, (batch, 3, s, s) -> (batch, num_features)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)


def _layers(arch: Architecture) -> Sequence[nn.Sequential]:
    layers, in_channels = [], arch.width
    for index, num_blocks in enumerate(arch.num_blocks):
        width = arch.width * 2**index
        strides = [1 if index == 0 else 2] + [1] * (num_blocks - 1)
        blocks = []
        for stride in strides:
            blocks.append(arch.block(in_channels, width, stride))
            in_channels = width * arch.block.expansion
        layers.append(nn.Sequential(*blocks))
    return layers


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


def _initialize_convolution(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
