"""The training errors a user can cause; see shards.errors for the shape of the message."""

from __future__ import annotations

from shards.errors import UserError


class ConfigError(UserError):
    """An option, preset or launch environment that cannot be trained with."""


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or that belongs to another run."""


class TrainingError(UserError):
    """A training that cannot go on, for instance because its loss is no longer finite."""


class DivergenceError(TrainingError):
    """Loss, gradients or weights are not finite; the trainer adds what to run next."""


class Stopped(Exception):  # noqa: N818 (nothing went wrong)
    """The run leaves because it was asked to, by SIGTERM or SIGUSR1, and can be continued.

    Attributes:
        is_shared: every rank raises this after the same step, so none has to be told.
    """

    EXIT_CODE = 75
    """sysexits' "temporary failure, try again": no other ending of a run has it, so that a batch system may requeue."""

    def __init__(self, text: str, *, is_shared: bool = False) -> None:
        """`text` is one line for the user."""
        self.is_shared = is_shared
        super().__init__(text)


def stop_behind(error: BaseException) -> Stopped | None:
    """The request to leave that led to `error`: inside a library it may come out as another."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, Stopped):
        seen = seen.__cause__ or seen.__context__
    return seen
