"""How the command line reads values whose words are not Python's: `none` for a path that is not wanted."""

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
