"""What to do about each class of trouble: keep, fix, quarantine or stop.

The defaults let nothing through that DALI cannot decode, fix without loss where that is possible, and leave every
other byte alone. Flags spell a choice as TROUBLE=ACTION.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shards.errors import ShardError
from shards.pictures import mend
from shards.pictures.troubles import Trouble


class Action(StrEnum):
    """What to do. `BAKE` is for rotated pictures only: turn the pixels, which encodes them again."""

    KEEP = "keep"
    FIX = "fix"
    BAKE = "bake"
    QUARANTINE = "quarantine"
    STOP = "stop"


DEFAULTS: dict[Trouble, Action] = {
    Trouble.UNREADABLE: Action.STOP,
    Trouble.EMPTY: Action.QUARANTINE,
    Trouble.NOT_AN_IMAGE: Action.QUARANTINE,
    Trouble.TRUNCATED: Action.QUARANTINE,
    Trouble.CORRUPT: Action.QUARANTINE,
    Trouble.UNSUPPORTED: Action.QUARANTINE,
    Trouble.UNUSUAL: Action.FIX,
    Trouble.TOO_LARGE: Action.QUARANTINE,
    Trouble.CMYK: Action.FIX,
    Trouble.SIXTEEN_BIT: Action.FIX,
    Trouble.RARE_FORMAT: Action.FIX,
    Trouble.MISNAMED: Action.FIX,
    Trouble.ROTATED: Action.FIX,
    Trouble.BAD_METADATA: Action.FIX,
    Trouble.DUPLICATE: Action.KEEP,
}
ADDED_LATER = frozenset({Trouble.UNUSUAL})
"""Said of a policy only where they differ from the default, so that sets built before them are still known as such."""

CANNOT_KEEP = frozenset({Trouble.UNREADABLE, Trouble.EMPTY, Trouble.NOT_AN_IMAGE})

Mended = tuple[str, bytes]  # suffix and content

_FIXES: dict[tuple[Trouble, Action], Callable[[str, bytes], Mended]] = {
    (Trouble.CMYK, Action.FIX): lambda suffix, content: ("jpg", mend.to_rgb_jpeg(content)),
    (Trouble.SIXTEEN_BIT, Action.FIX): lambda suffix, content: ("png", mend.to_png(content)),
    (Trouble.RARE_FORMAT, Action.FIX): lambda suffix, content: ("png", mend.to_png(content)),
    (Trouble.MISNAMED, Action.FIX): lambda suffix, content: (suffix, content),
    (Trouble.ROTATED, Action.FIX): lambda suffix, content: (suffix, mend.strip_exif(content, suffix)),
    (Trouble.ROTATED, Action.BAKE): lambda suffix, content: (suffix, mend.upright(content, suffix)),
    (Trouble.CORRUPT, Action.FIX): lambda suffix, content: ("png", mend.to_png(content)),
    (Trouble.UNSUPPORTED, Action.FIX): lambda suffix, content: ("png", mend.to_png(content)),
    (Trouble.UNUSUAL, Action.FIX): lambda suffix, content: mend.usual(content, suffix),
    (Trouble.BAD_METADATA, Action.FIX): lambda suffix, content: (suffix, mend.strip_profile(content)),
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """An action for every class of trouble."""

    actions: Mapping[Trouble, Action] = field(default_factory=lambda: dict(DEFAULTS))

    def fix(self, trouble: Trouble, suffix: str, content: bytes) -> Mended:
        """The mended picture. Call only where the action is FIX or BAKE."""
        return _FIXES[trouble, self.actions[trouble]](suffix, content)

    def describe(self) -> str:
        """One line that differs between policies which write different bytes."""
        said = [t for t in Trouble if t not in ADDED_LATER or self.actions[t] != DEFAULTS[t]]
        return " ".join(f"{trouble}={self.actions[trouble]}" for trouble in said)


def parse_policy(choices: Iterable[str]) -> Policy:
    """The default policy with some choices changed, each spelled TROUBLE=ACTION.

    Raises:
        ShardError: an unknown trouble or action, or an action that this trouble does not allow.
    """
    actions = dict(DEFAULTS)
    for choice in choices:
        trouble, action = _parse_choice(choice)
        allowed = allowed_actions(trouble)
        if action not in allowed:
            raise ShardError(f"{trouble} cannot be met with {action}", where="--on", expected=" or ".join(allowed))
        actions[trouble] = action
    return Policy(actions=actions)


def allowed_actions(trouble: Trouble) -> list[Action]:
    """The actions that make sense for a class of trouble."""
    fixes = [action for action in (Action.FIX, Action.BAKE) if (trouble, action) in _FIXES]
    keep = [] if trouble in CANNOT_KEEP else [Action.KEEP]
    return [*keep, *fixes, Action.QUARANTINE, Action.STOP]


def _parse_choice(choice: str) -> tuple[Trouble, Action]:
    trouble, _, action = choice.partition("=")
    try:
        return Trouble(trouble), Action(action)
    except ValueError:
        expected = f"TROUBLE=ACTION with one of {' '.join(Trouble)} and one of {' '.join(Action)}"
        raise ShardError("not a choice", where="--on", found=choice, expected=expected) from None
