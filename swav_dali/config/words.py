"""How the command line reads values whose words are not Python's: `none` for no path, one number or several."""

from __future__ import annotations

from pathlib import Path

from tyro.constructors import PrimitiveConstructorSpec

_NOTHING = "none"

PATH_OR_NONE: PrimitiveConstructorSpec[Path | None] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="PATH|none",
    instance_from_str=lambda words: None if words[0].lower() == _NOTHING else Path(words[0]),
    is_instance=lambda value: value is None or isinstance(value, Path),
    str_from_instance=lambda value: [_NOTHING if value is None else str(value)],
)


def _numbers(words: list[str]) -> int | tuple[int, ...]:
    numbers = tuple(map(int, words))
    return numbers[0] if len(numbers) == 1 else numbers


NUMBERS: PrimitiveConstructorSpec[int | tuple[int, ...]] = PrimitiveConstructorSpec(
    nargs="*",
    metavar="N ...",
    instance_from_str=_numbers,
    is_instance=lambda value: isinstance(value, int | tuple),
    str_from_instance=lambda value: [str(number) for number in (value if isinstance(value, tuple) else (value,))],
)
"""One number is itself, so that configurations saved when there could be no others still agree."""
