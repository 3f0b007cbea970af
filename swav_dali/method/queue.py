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
    """First in, first out."""

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
        self.rows = torch.zeros(num_assign, shard, embedding_dim, device=device, dtype=dtype)
        """(assigned, rows of this rank, dim), a ring; zeros where nothing has been pushed yet."""
        self._newest = torch.zeros((), dtype=torch.int64, device=device)
        self.num_filled = 0

    @property
    def embeddings(self) -> Tensor:
        """A copy of the rows, newest first."""
        return self.rows[:, self._ring(self.rows.shape[1])]

    @property
    def is_full(self) -> bool:
        """Whether every row holds an embedding; the same answer on every rank."""
        return self.num_filled == self.rows.shape[1]

    def push(self, newest: Tensor, *, unless: Tensor | None = None) -> None:
        """Write a batch over the oldest rows.

        Args:
            newest: (assigned, batch, dim).
            unless: bool scalar on the device; where it is true no row changes. The count goes on all the same, for
                it is on the host: a queue in its first filling is then used with as many rows of zeros at its end,
                which are equally near to every prototype, until they fall out.
        """
        length, batch_size = self.rows.shape[1], newest.shape[1]
        place = (self._newest - batch_size) % length
        index = place + torch.arange(batch_size, device=place.device)  # the length is a multiple of the batch
        written = newest.to(self.rows.dtype)
        if unless is not None:
            written = torch.where(unless, self.rows[:, index], written)
            place = torch.where(unless, self._newest, place)
        self.rows.index_copy_(1, index, written)
        self._newest = place
        self.num_filled = min(self.num_filled + batch_size, length)

    def state_dict(self) -> dict[str, Any]:
        """The rows, newest first, how many of them hold an embedding, and where in the ring the newest is.

        The place keeps the bits of a sum over the rows; versions that had no ring do not ask for it.
        """
        return {"embeddings": self.embeddings, "num_filled": self.num_filled, "newest": int(self._newest)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the newest rows of `state`, all of them when the length is the same.

        Raises:
            CheckpointError: a state of another number of assigned crops or another width.
        """
        theirs, ours = state["embeddings"], self.rows
        if (theirs.shape[0], theirs.shape[2]) != (ours.shape[0], ours.shape[2]):
            raise CheckpointError(
                "the saved queue does not fit (assigned crops, rows, dim)",
                where="queue",
                found=tuple(theirs.shape),
                expected=tuple(ours.shape),
            )
        kept = min(theirs.shape[1], ours.shape[1])
        is_same_ring = theirs.shape[1] == ours.shape[1]
        self._newest.fill_(state.get("newest", 0) if is_same_ring else 0)
        self.rows.zero_()
        self.rows[:, self._ring(kept)] = theirs[:, :kept].to(ours)
        self.num_filled = min(int(state["num_filled"]), kept)

    def _ring(self, num: int) -> Tensor:
        """Places of the newest `num` rows, newest first."""
        return (self._newest + torch.arange(num, device=self.rows.device)) % self.rows.shape[1]


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
