"""The training errors a user can cause; see shards.errors for the shape of the message."""

from __future__ import annotations

from shards.errors import UserError


class ConfigError(UserError):
    """An option, preset or launch environment that cannot be trained with."""


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or that belongs to another run."""


class TrainingError(UserError):
    """A training that cannot go on, for instance because its loss is no longer finite."""
