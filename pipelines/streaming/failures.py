"""DALI's error texts as one clean line: the reason without stack and pipeline talk, and the file it is about."""

from __future__ import annotations

import linecache
import re

from pipelines.errors import PipelineError

_INDEX = re.compile(r'(?:index file )?at "(?P<path>[^"]+)" line (?P<line>\d+)(?: - )?')
_FILE = re.compile(r"(?:File mapping failed:|Could not open file|Error opening file) (?P<path>\S+?)(?::? |:?$)")
_ASSERT = re.compile(r'^Assert on ".*?" failed: ?')
_CHECK = "python -m shards check DIR shows what differs from the manifest"


def explain(error: RuntimeError, what: str) -> PipelineError:
    """`error` as a typed one that says `what` could not be done, where, and DALI's reason."""
    reason = reason_of(error)
    if index := _INDEX.search(reason):
        place = f"{index['path']}:{int(index['line']) + 1}"  # DALI counts lines from 0
        return PipelineError(f"{what}: {_without(index, reason)}", where=place, found=_sample(index), fix=_CHECK)
    if file := _FILE.search(reason):
        return PipelineError(f"{what}: the file cannot be read", where=file["path"], fix=_CHECK)
    return PipelineError(what, where="data pipeline", found=reason)


def reason_of(error: BaseException) -> str:
    """DALI's own words in an error's text, in one line."""
    _, found, tail = str(error).rpartition("encountered:")
    lines = [line.strip() for line in (tail if found else str(error)).splitlines()]
    useful = [line for line in lines if line and not line.startswith(_TALK)]
    return _in_words(_ASSERT.sub("", " ".join(useful[:2]))) or "no reason given"


def _in_words(reason: str) -> str:
    """The decoder's codes and numbers as what they mean; other reasons as they are."""
    if code := _CODE.search(reason):
        return _CODES.get(code["number"], reason)
    return _UNNAMED.sub("damaged picture data", reason)


_CODE = re.compile(r"nvImageCodec failure: '#(?P<number>\d+)'")
_CODES = {"3": "a damaged header", "4": "no picture of a known format"}
_UNNAMED = re.compile(r"Failed to decode sample #\d+ ?:$")


_TALK = (
    "Error in",
    "Critical error",
    "which was used",
    'File "',
    "C++ context",
    "Current pipeline",
    "Stacktrace",
    "[frame",
)


def _sample(index: re.Match[str]) -> str | None:
    """Member and offset of the sample that an index line is about."""
    fields = linecache.getline(index["path"], int(index["line"]) + 1).split()
    return f"{fields[3]} at byte {fields[1]}" if len(fields) >= 4 else None


def _without(index: re.Match[str], reason: str) -> str:
    rest = f"{reason[: index.start()].strip()} {reason[index.end() :].strip()}".strip()
    return rest[:1].lower() + rest[1:]
