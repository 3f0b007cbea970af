"""The samples in a WebDataset tar written by any tool: which members belong together, their picture and their label.

A sample is a run of adjacent members with the same key, the name up to the first dot after the last slash. Where dots
in names make one run of many pictures that each have the same parts, every picture is a sample: the key then goes up
to the last dot.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from shards.errors import ShardError
from shards.pictures.sniff import named_suffix
from shards.sources.folders import SUFFIXES
from shards.sources.listing import MAX_LABEL, UNLABELLED
from shards.tars.scan import TarMember

LABEL = "cls"
TEXT_LABELS = (LABEL, "cls.txt")
LONGEST_LABEL = 20  # bytes
LARGEST_JSON = 16 << 20
FIRST_FIELDS = 8

Part = tuple[str, TarMember]  # suffix without its dot, member
TarSample = tuple[str, list[Part]]  # key, parts


@dataclass(frozen=True, kw_only=True)
class LabelField:
    """Where a sample's label is: the member with this suffix, or the value of this name in it when it is JSON."""

    suffix: str
    name: str | None = None

    def __str__(self) -> str:
        """As `--label-field` spells it."""
        return self.suffix if self.name is None else f"{self.suffix}:{self.name}"


def parse_label_field(text: str) -> LabelField:
    """`json:NAME` or the suffix of a member that holds the number alone. Raises `ShardError` for anything else."""
    suffix, colon, name = text.partition(":")
    if not suffix or (colon and not name) or " " in suffix:
        raise ShardError("not a field", where="--label-field", found=repr(text), expected="json:NAME, or a suffix")
    return LabelField(suffix=suffix.removeprefix(".").lower(), name=name or None)


def samples_of(members: Iterable[TarMember]) -> Iterator[TarSample]:
    """The samples of a tar's members. Names without a key are passed over."""
    split = ((*split_name(member.name), member) for member in members)
    named = ((key, suffix, member) for key, suffix, member in split if key and suffix)
    for key, group in groupby(named, key=lambda item: item[0]):
        yield from _untangled(key, [(suffix, member) for _, suffix, member in group])


def split_name(name: str) -> tuple[str, str]:
    """(key, suffix) at the first dot after the last slash; both empty where webdataset would drop the member."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return (f"{folder}{slash}{stem}", suffix) if dot and stem else ("", "")


def pictures_in(parts: Iterable[Part]) -> list[Part]:
    """The pictures of a sample; readers take the first one."""
    return [part for part in parts if is_picture_suffix(part[0])]


def is_picture_suffix(suffix: str) -> bool:
    """Whether a member's suffix, which may hold dots, ends like a picture's."""
    return f".{named_suffix(f'x.{suffix}')}" in SUFFIXES


def label_part(parts: Iterable[Part], field: LabelField | None) -> Part | None:
    """The part that holds a sample's label."""
    wanted = TEXT_LABELS if field is None else (field.suffix,)
    return next((part for part in parts if part[0].lower() in wanted), None)


def read_label(descriptor: int, member: TarMember, field: LabelField | None, *, where: object) -> int:
    """The class number that a member holds, UNLABELLED where its JSON has none. Raises `ShardError` for others."""
    if field is None or field.name is None:
        text = os.pread(descriptor, LONGEST_LABEL + 1, member.offset)[: member.size]
        value: Any = int(text) if text.strip().isdigit() and member.size <= LONGEST_LABEL else text
    else:
        value = read_json(descriptor, member, where=where).get(field.name)
        value = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if value is None or value == UNLABELLED:
        return UNLABELLED
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LABEL:
        return value
    expected = f"ASCII digits, 0 to {MAX_LABEL:,}" if field is None or field.name is None else f"0 to {MAX_LABEL:,}"
    name = f"{where}!{member.name}" + (f":{field.name}" if field and field.name else "")
    raise ShardError("a label is not a number of a class", where=name, found=repr(value)[:60], expected=expected)


def read_json(descriptor: int, member: TarMember, *, where: object) -> dict[str, Any]:
    """The object in a JSON member. Raises `ShardError` when it is none."""
    try:
        content = json.loads(os.pread(descriptor, min(member.size, LARGEST_JSON), member.offset))
    except ValueError as error:
        raise ShardError("not JSON", where=f"{where}!{member.name}", found=error) from None
    if not isinstance(content, dict):
        raise ShardError("not a JSON object", where=f"{where}!{member.name}", found=type(content).__name__)
    return content


def explain_suffixes(others: Counter[str]) -> str:
    """The suffixes that are there instead, for a person."""
    return ", ".join(f".{suffix} ({count}x)" for suffix, count in others.most_common(5)) or "no samples at all"


def _untangled(key: str, parts: list[Part]) -> Iterator[TarSample]:
    """One sample, or as many as the last dots tell apart when each of them has one picture and the same parts."""
    if len(pictures_in(parts)) > 1:
        groups = dict[str, list[Part]]()
        for suffix, member in parts:
            inner, _, last = suffix.rpartition(".")
            groups.setdefault(f"{key}.{inner}" if inner else key, []).append((last, member))
        kinds = {tuple(sorted(suffix for suffix, _ in group)) for group in groups.values()}
        if len(groups) > 1 and len(kinds) == 1 and all(len(pictures_in(group)) == 1 for group in groups.values()):
            yield from groups.items()
            return
    yield key, parts


@dataclass(kw_only=True)
class Remarks:
    """What a person should know about the samples of tars, gathered while they are read.

    Attributes:
        without_picture: suffixes of the samples that have none.
        others: suffixes of all members but pictures.
        fields: names in the first JSON member.
        num_extra: pictures behind the first of their sample.
        extra: such a sample, by its parts.
    """

    without_picture: Counter[str]
    others: Counter[str]
    fields: tuple[str, ...] = ()
    num_extra: int = 0
    extra: str = ""

    @classmethod
    def none(cls) -> Remarks:
        """Nothing seen yet."""
        return cls(without_picture=Counter(), others=Counter())

    def see(self, descriptor: int, sample: TarSample, *, where: object) -> None:
        """Take note of a sample."""
        key, parts = sample
        pictures = pictures_in(parts)
        if not pictures:
            self.without_picture.update(suffix for suffix, _ in parts)
        if len(pictures) > 1:
            self.num_extra += len(pictures) - 1
            self.extra = self.extra or f"{key} with {' '.join(f'.{suffix}' for suffix, _ in pictures[:4])}"
        self.others.update(suffix for suffix, _ in parts if not is_picture_suffix(suffix))
        if not self.fields and (found := next((part for suffix, part in parts if suffix == "json"), None)) is not None:
            self.fields = tuple(read_json(descriptor, found, where=where))

    def add(self, other: Remarks) -> None:
        """Take over what was seen elsewhere."""
        self.without_picture.update(other.without_picture)
        self.others.update(other.others)
        self.fields = self.fields or other.fields
        self.num_extra, self.extra = self.num_extra + other.num_extra, self.extra or other.extra

    def lines(self, *, is_labelled: bool) -> list[str]:
        """The warnings."""
        lines = [] if is_labelled else [self._unlabelled()]
        if self.without_picture:
            explained = explain_suffixes(self.without_picture)
            lines.append(f"samples without a picture were passed over; they have {explained}")
        if self.num_extra:
            lines.append(f"{self.num_extra:,} pictures behind the first of their sample were passed over: {self.extra}")
        return lines

    def check_field(self, field: LabelField | None, *, is_labelled: bool) -> None:
        """Raise `ShardError` where labels were asked for by name and no sample has any."""
        if field is not None and not is_labelled:
            raise ShardError("no sample has this label", where=f"--label-field {field}", found=self._others())

    def _unlabelled(self) -> str:
        line = f"no sample has a .{LABEL} member: taken for pictures without labels"
        if self.others:
            line += f"; beside the pictures there are {self._others()}"
        if self.fields:
            line += ": --label-field json:NAME takes labels from there"
        return line

    def _others(self) -> str:
        names = f", with {' '.join(self.fields[:FIRST_FIELDS])} in the JSON" if self.fields else ""
        return f"{explain_suffixes(self.others)}{names}" if self.others else "nothing but pictures"
