"""The options of the command line as a person reads them: flag, kind of value, meaning, default.

Read from the dataclasses and the docstrings of their fields, so that a new option is one field. What only experts turn
is left out of the short help.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pipelines.tags import Audience, OnResume, Tagged, flat_values, tagged_options
from swav_dali.config.sections import RunConfig

_WIDTH, _FLAGS = 110, 36
_NUMBERS = {int: "N", float: "X", str: "TEXT", Path: "PATH", NoneType: "none"}
_RULES = {
    OnResume.ALWAYS: "may change on resume",
    OnResume.PER_RANK: "may change with the number of ranks",
    OnResume.MAY_GROW: "may grow on resume",
    OnResume.NEVER: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        key: dotted, as `data.batch_size`.
        flags: what may be written for it; a switch has one for on and one for off.
        value: the kind of value, empty for a switch.
        meaning: its help text.
        is_for_experts: whether only the long help shows it.
        rule: whether it may differ on resume, in words.
    """

    key: str
    flags: tuple[str, ...]
    value: str
    meaning: str
    is_for_experts: bool
    rule: str


@cache
def options() -> tuple[Option, ...]:
    """Every option of train.py, in the order of the sections."""
    return tuple(_option(tagged) for tagged in tagged_options(RunConfig).values())


def known_flags() -> dict[str, Option]:
    """Every flag that train.py takes, and the option it sets."""
    return {flag: option for option in options() for flag in option.flags}


def help_text(preset: RunConfig, *, for_experts: bool) -> str:
    """All sections with their options and the values they have in `preset`."""
    values = {**flat_values(preset), "resume": str(preset.resume)}
    shown = [option for option in options() if for_experts or not option.is_for_experts]
    lines: list[str] = []
    for section in dict.fromkeys(_section(option) for option in shown):
        lines += ["", f"{section or 'run'}:"]
        for option in shown:
            if _section(option) == section:
                lines += _rows(option, values, with_rule=for_experts)
    return "\n".join(lines)


def _section(option: Option) -> str:
    return option.key.rpartition(".")[0]


def _rows(option: Option, values: Mapping[str, Any], *, with_rule: bool) -> Iterator[str]:
    head = "  " + f"{' / '.join(option.flags)} {option.value}".rstrip()
    rule = f"; {option.rule}" if with_rule and option.rule else ""
    words = textwrap.wrap(f"{option.meaning} (default {_shown(values[option.key])}{rule})", _WIDTH - _FLAGS)
    if len(head) >= _FLAGS:
        yield head
        head = ""
    yield head.ljust(_FLAGS) + words[0]
    yield from (" " * _FLAGS + row for row in words[1:])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _option(tagged: Tagged) -> Option:
    flag = "--" + tagged.key.replace("_", "-")
    inner, said = _unwrap(tagged.type)
    section, _, name = flag.rpartition(".")
    off = f"{section}.no-{name}" if section else f"--no-{flag.removeprefix('--')}"
    aliases = tuple(alias for tag in said for alias in getattr(tag, "aliases", None) or ())
    return Option(
        key=tagged.key,
        flags=(flag, *((off,) if inner is bool else ()), *aliases),
        value=next((tag.metavar for tag in said if hasattr(tag, "instance_from_str")), "") or _kind(inner),
        meaning=_field_docstrings(tagged.owner)[tagged.name],
        is_for_experts=tagged.audience is Audience.EXPERTS,
        rule=_RULES[tagged.on_resume],
    )


def _kind(hint: Any) -> str:
    origin = get_origin(hint)
    if hint is bool:
        return ""
    if origin is Literal:
        return "|".join(map(str, get_args(hint)))
    if origin in (Union, UnionType):
        return "|".join(_kind(_unwrap(part)[0]) for part in get_args(hint))
    if origin is tuple:
        parts = get_args(hint)
        return f"{_kind(parts[0])} ..." if parts[-1] is Ellipsis else " ".join(map(_kind, parts))
    return _NUMBERS[hint]


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return (get_args(hint)[0], hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


@cache
def _field_docstrings(owner: type) -> dict[str, str]:
    """The string below each field, which Python itself forgets."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, words in zip(body.body, body.body[1:], strict=False):
        is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if is_field and isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant):
            found[field.target.id] = " ".join(str(words.value.value).split())  # type: ignore[attr-defined]
    return found
