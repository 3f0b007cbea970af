"""How long ranks wait for each other, and what is remembered of what they did together."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.tags import Expert
from swav_dali.config.checks import at_least, positive


@dataclass(frozen=True, kw_only=True, slots=True)
class RanksConfig:
    """Several processes that train together."""

    timeout_seconds: float = 600.0
    """Seconds that a collective waits for a rank that does not come; then the run ends on every rank and says so."""
    start_timeout_seconds: float = 1800.0
    """Seconds until all ranks must have come at the start."""
    flight_recorder: Expert[int] = 2000
    """Collectives that every rank remembers and writes to flight/ in the run folder when one fails; 0 is none."""

    def __post_init__(self) -> None:
        """Refuse times that have passed before they begin."""
        positive("--ranks.timeout-seconds", self.timeout_seconds)
        positive("--ranks.start-timeout-seconds", self.start_timeout_seconds)
        at_least("--ranks.flight-recorder", self.flight_recorder, 0)
