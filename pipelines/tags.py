"""What is said about an option beside its meaning: one tag on its field, read by the trainer and by the loader.

A field without a tag may never differ when a run goes on, so an option whose author forgot about resuming is refused
rather than changed in silence. A tag on a section holds for everything in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class OnResume(Enum):
    """Whether an option may differ when a run goes on."""

    NEVER = "never"
    """It changes the bits of the training."""
    MAY_GROW = "may grow"
    """A larger value changes what is still to come, and the run says how."""
    PER_RANK = "when the number of ranks changes"
    """It is counted per rank, and another number of ranks starts its epoch again anyway."""
    ALWAYS = "always"
    """It changes no bit: names and places, what is watched, kept and prepared ahead."""


class Audience(Enum):
    """Who wants to see an option in the help."""

    EVERYONE = "everyone"
    EXPERTS = "experts"


@dataclass(frozen=True, slots=True)
class Before:
    """What versions that did not know the option behaved with, where that is not the field's default."""

    value: Any


Free = Annotated[T, OnResume.ALWAYS]
PerRank = Annotated[T, OnResume.PER_RANK]
MayGrow = Annotated[T, OnResume.MAY_GROW]
Expert = Annotated[T, Audience.EXPERTS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """One option and what its tags say.

    Attributes:
        key: dotted, as `loader.threads`.
        owner: the dataclass that holds it.
        type: as annotated, with the tags.
        on_resume: whether it may differ.
        audience: who sees it in the help.
        before: its value in runs that do not know it, as JSON.
    """

    key: str
    owner: type
    type: Any
    on_resume: OnResume
    audience: Audience
    before: Any

    @property
    def name(self) -> str:
        """The field's own name."""
        return self.key.rpartition(".")[2]


@cache
def tagged_options(section: type) -> dict[str, Tagged]:
    """Every option of a dataclass and of those in it, by dotted key, in the order of the fields."""
    return {option.key: option for option in _walk(section, "", OnResume.NEVER, Audience.EVERYONE)}


def flat_values(section: Any) -> dict[str, Any]:
    """The values of a section as one level of dotted keys; tuples are lists and paths are words, as in JSON."""
    flat: dict[str, Any] = {}
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            flat |= {f"{field.name}.{key}": item for key, item in flat_values(value).items()}
        else:
            flat[field.name] = _as_json(value)
    return flat


def _walk(section: type, prefix: str, resume: OnResume, audience: Audience) -> Iterator[Tagged]:
    hints = get_type_hints(section, include_extras=True)
    for field in fields(section):
        inner, tags = _unwrap(hints[field.name])
        its_resume = next((tag for tag in tags if isinstance(tag, OnResume)), resume)
        its_audience = next((tag for tag in tags if isinstance(tag, Audience)), audience)
        if isinstance(inner, type) and is_dataclass(inner):
            yield from _walk(inner, f"{prefix}{field.name}.", its_resume, its_audience)
            continue
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        before = next((tag.value for tag in tags if isinstance(tag, Before)), default)
        yield Tagged(
            key=prefix + field.name,
            owner=section,
            type=hints[field.name],
            on_resume=its_resume,
            audience=its_audience,
            before=_as_json(before),
        )


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type below Annotated, and everything said there."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    inner, *tags = get_args(hint)
    return inner, tuple(tags)


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return "+".join(map(str, value)) if any(map(is_dataclass, value)) else [_as_json(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
