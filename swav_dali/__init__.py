"""Batches to weights: the SwAV model, its codes and loss, and the trainer. Never imports nvidia."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`swav_dali.load_backbone`, imported when it is asked for, so that help and mistakes answer before torch loads."""
    if name == "load_backbone":
        from swav_dali.exchange.backbone import load_backbone

        return load_backbone
    raise AttributeError(f"module 'swav_dali' has no attribute {name!r}")
