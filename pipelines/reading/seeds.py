"""The seeds of one rank's stream, all derived from the run's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class StreamSeeds:
    """Seeds below 2^31, as DALI wants them.

    Attributes:
        tars: of the order of the tars, the same on all ranks, or ranks would read samples twice.
        pool: of the shuffle pool of this rank.
        crops: of the augmentations of this rank.
    """

    tars: int
    pool: int
    crops: int


def stream_seeds(seed: int, *, epoch: int, rank: int) -> StreamSeeds:
    """Seeds of a stream that starts at `epoch`; neighbouring seeds, epochs and ranks share nothing."""
    tars = _draw(seed, epoch, 0)
    pool, crops = _draw(seed, epoch, 1, rank), _draw(seed, epoch, 2, rank)
    return StreamSeeds(tars=tars, pool=pool, crops=crops)


def _draw(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) & 0x7FFFFFFF
