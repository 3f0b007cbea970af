"""torch.hub entry points: `torch.hub.load(CHECKOUT, "backbone", "runs/demo", source="local")`."""

from typing import Any

dependencies = ["torch", "safetensors"]


def backbone(place: str) -> Any:
    """The trunk of a run, a checkpoint or a file of weights; see swav_dali.exchange.backbone.load_backbone."""
    from swav_dali.exchange.backbone import load_backbone

    return load_backbone(place)
