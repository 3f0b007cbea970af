"""Bounds that a field's value is held against, with the flag in the complaint."""

from __future__ import annotations

from swav_dali.errors import ConfigError


def at_least(flag: str, value: int, least: int) -> None:
    """Raise ConfigError for a value below `least`."""
    if value < least:
        raise ConfigError("too small", where=flag, found=value, expected=f"{least} or more")


def positive(flag: str, value: float) -> None:
    """Raise ConfigError for a value that is not above 0."""
    if not value > 0:
        raise ConfigError("must be positive", where=flag, found=value)


def not_negative(flag: str, value: float) -> None:
    """Raise ConfigError for a value below 0, or none."""
    if not value >= 0:
        raise ConfigError("must not be negative", where=flag, found=value)
