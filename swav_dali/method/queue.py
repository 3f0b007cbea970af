"""Embeddings of recent batches, which let a small batch share out its codes over many more images.

Every rank keeps the shard of its own images, one queue per assigned crop. A count on the host tells whether the
queue is full, so that no step waits for the device (the reference tests its oldest row for zeros).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from swav_dali.errors import CheckpointError, ConfigError
from swav_dali.ranks.world import World


class FeatureQueue:
    """First in, first out; newest row first."""

    def __init__(
        self,
        *,
        length: int,
        num_assign: int,
        embedding_dim: int,
        batch_size: int,
        world_size: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Start empty.

        Args:
            length: embeddings over all ranks and per assigned crop, cut to a multiple of the global batch.
            num_assign: assigned crops.
            embedding_dim: width of an embedding.
            batch_size: images per step on this rank.
            world_size: ranks.
            device: where the queue lives.
            dtype: of the embeddings kept.

        Raises:
            ConfigError: `length` is below one global batch.
        """
        global_batch = batch_size * world_size
        if length < global_batch:
            raise ConfigError(
                "the queue is shorter than one global batch",
                where="--swav.queue-length",
                found=length,
                expected=f"0 (off) or at least {global_batch} = {batch_size} images x {world_size} rank(s)",
            )
        shard = length // global_batch * batch_size
        self.embeddings = torch.zeros(num_assign, shard, embedding_dim, device=device, dtype=dtype)
        """(assigned, rows of this rank, dim); zeros where nothing has been pushed yet."""
        self.num_filled = 0

    @property
    def is_full(self) -> bool:
        """Whether every row holds an embedding; the same answer on every rank."""
        return self.num_filled == self.embeddings.shape[1]

    def push(self, newest: Tensor, *, unless: Tensor | None = None) -> None:
        """Put a batch in front and drop as many of the oldest rows.

        Args:
            newest: (assigned, batch, dim).
            unless: bool scalar on the device; where it is true no row changes. The count goes on all the same, for
                it is on the host: a queue in its first filling is then used with as many rows of zeros at its end,
                which are equally near to every prototype, until they fall out.
        """
        length, batch_size = self.embeddings.shape[1], newest.shape[1]
        pushed = torch.cat([newest.to(self.embeddings.dtype), self.embeddings[:, : length - batch_size]], dim=1)
        self.embeddings = pushed if unless is None else torch.where(unless, self.embeddings, pushed)
        self.num_filled = min(self.num_filled + batch_size, length)

    def state_dict(self) -> dict[str, Any]:
        """The rows and how many of them hold an embedding."""
        return {"embeddings": self.embeddings, "num_filled": self.num_filled}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the newest rows of `state`, all of them when the length is the same.

        Raises:
            CheckpointError: a state of another number of assigned crops or another width.
        """
        rows = state["embeddings"]
        ours = self.embeddings
        if (rows.shape[0], rows.shape[2]) != (ours.shape[0], ours.shape[2]):
            raise CheckpointError(
                "the saved queue does not fit (assigned crops, rows, dim)",
                where="queue",
                found=tuple(rows.shape),
                expected=tuple(ours.shape),
            )
        kept = min(rows.shape[1], ours.shape[1])
        self.embeddings = torch.zeros_like(ours)
        self.embeddings[:, :kept] = rows[:, :kept]
        self.num_filled = min(int(state["num_filled"]), kept)


def merge_queue_states(states: Sequence[Mapping[str, Any]], world: World) -> dict[str, Any]:
    """This rank's share of the queues of another number of ranks, newest first; a state for load_state_dict.

    Rows are dealt out one by one in the order of their age, so every rank gets as many and as fresh ones.

    Args:
        states: of all ranks that saved, in their order; equally filled.
        world: this rank among those that load.
    """
    filled = states[0]["num_filled"]
    by_age = torch.stack([state["embeddings"][:, :filled] for state in states], dim=2).flatten(1, 2)
    share = by_age.shape[1] // world.size
    rows = by_age[:, world.rank :: world.size][:, :share]
    return {"embeddings": rows, "num_filled": share}
