"""What is done about a training that goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthConfig:
    """What is done about a training that goes wrong."""

    on_collapse: Literal["warn", "stop"] = "warn"
    """When all embeddings fall together: say so and go on, or end the run with an error."""
