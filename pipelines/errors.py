"""The pipeline errors a user can cause; see shards.errors for the shape of the message."""

from __future__ import annotations

from shards.errors import UserError


class PipelineError(UserError):
    """A graph or loader that cannot be opened or read as asked."""


class LoaderStateError(PipelineError):
    """A loader state that belongs to other shards, another graph or another rank layout."""


class SampleError(PipelineError):
    """A sample the index names but the decoder cannot read."""


class SampleWarning(UserWarning):
    """A sample that could not be decoded and that another one stands in for."""
