"""What an index calls the picture of a sample. DALI hands the name through, and it says what the sample is.

Shards that we build hold `NUMBER.SUFFIX`. An index beside other people's tars may not trust their names, which can be
words or start anew in every tar: it says `NUMBER/NAME`, or `NUMBER=LABEL/NAME` where the label is in no member that
DALI could read. NUMBER counts the samples over all indices of the set, from 0.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DIGITS = 9
_INDEXED = re.compile(rf"(?P<number>\d{{{DIGITS},}})(?:=(?P<label>\d+))?/(?P<name>.+)", re.DOTALL)
_BUILT = re.compile(r"(?P<number>\d+)\..*", re.DOTALL)


class SampleName(NamedTuple):
    """A sample's number in its set, its label if the name holds one, and what its tar calls the picture."""

    number: int
    label: int | None
    name: str


def spell(number: int, name: str, *, label: int | None = None) -> str:
    """The name under which an index lists a picture that its tar calls `name`."""
    return f"{number:0{DIGITS}d}{'' if label is None else f'={label}'}/{plain(name)}"


def renumbered(spelled: str, number: int) -> str:
    """A name that `spell` made, with another number."""
    return f"{number:0{DIGITS}d}{spelled.lstrip('0123456789')}"


def parse_sample_name(spelled: str) -> SampleName | None:
    """What an index's name for a picture says, or None where it holds no number."""
    if match := _INDEXED.fullmatch(spelled):
        label = match["label"]
        return SampleName(int(match["number"]), None if label is None else int(label), match["name"])
    match = _BUILT.fullmatch(spelled)
    return None if match is None else SampleName(int(match["number"]), None, spelled)


def plain(name: str) -> str:
    """A member's name as an index may hold it: what would end it or cannot be written is percent-escaped."""
    return "".join(letter if _is_plain(letter) else f"%{ord(letter):02X}" for letter in name)


def _is_plain(letter: str) -> bool:
    return not letter.isspace() and letter not in "%:" and not "\ud800" <= letter <= "\udfff"  # bytes that are no UTF-8
