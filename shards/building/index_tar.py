"""The index of one tar that other people wrote: its samples whose picture decodes, and where their labels are.

The index is the gate: it names only samples whose picture decodes, so what a policy cannot mend in place is left out
by not being named.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from shards.building.events import DROPPED, PictureEvent
from shards.host.atomic import TEMPORARY, write_whole
from shards.host.files import opened, sha256_of_file
from shards.pictures.inspect import inspect
from shards.pictures.troubles import Trouble
from shards.sources.listing import UNLABELLED
from shards.sources.tar_samples import (
    LABEL,
    LabelField,
    Part,
    Remarks,
    TarSample,
    label_part,
    pictures_in,
    read_label,
    samples_of,
)
from shards.tars.index import IndexMember, format_index, parse_index
from shards.tars.manifest import sha256_of
from shards.tars.sample_name import renumbered, spell
from shards.tars.scan import TarMember, scan_tar

HARMLESS = frozenset({Trouble.MISNAMED, Trouble.ROTATED, Trouble.CMYK, Trouble.SIXTEEN_BIT, Trouble.BAD_METADATA})


@dataclass(kw_only=True)
class IndexedTar:
    """A tar with its pending index.

    Attributes:
        tar: the file.
        sha256: of its bytes, in hex.
        num_samples: named by the index.
        num_unlabelled: of these, without a label.
        highest_label: UNLABELLED where there is none.
        events: what was left out.
        remarks: what is odd about the samples.
        suffixes: how many pictures have each.
    """

    tar: Path
    sha256: str = ""
    num_samples: int = 0
    num_unlabelled: int = 0
    highest_label: int = UNLABELLED
    events: list[PictureEvent] = field(default_factory=list)
    remarks: Remarks = field(default_factory=Remarks.none)
    suffixes: Counter[str] = field(default_factory=Counter)


def pending_index(tar: Path) -> Path:
    """Where the index of a tar waits until those of all others are known to be good as well."""
    return tar.with_suffix(f".idx{TEMPORARY}pending")


def index_tar(tar: Path, label_field: LabelField | None = None) -> IndexedTar:
    """Write the pending index of one tar, in which samples are numbered from 0."""
    result = IndexedTar(tar=tar)
    samples: list[list[IndexMember]] = []
    with opened(tar) as descriptor:
        for sample in samples_of(scan_tar(descriptor, where=tar)):
            result.remarks.see(descriptor, sample, where=tar)
            if members := _look_at(result, descriptor, sample, label_field, len(samples)):
                samples.append(members)
    result.sha256 = sha256_of_file(tar)
    result.num_samples = len(samples)
    write_whole(pending_index(tar), format_index(samples))
    return result


def number_index(pending: Path, first: int) -> str:
    """Let the numbers in a pending index start at `first`; returns the sha256 of what it then is."""
    samples = parse_index(pending.read_bytes(), where=pending)
    numbered = [
        [member._replace(name=renumbered(member.name, number)) for member in members]
        for number, members in enumerate(samples, start=first)
    ]
    content = format_index(numbered)
    write_whole(pending, content)
    return sha256_of(content)


def _look_at(
    result: IndexedTar, descriptor: int, sample: TarSample, label_field: LabelField | None, number: int
) -> list[IndexMember]:
    """The members of a sample as the index names them; none for one that is left out."""
    key, parts = sample
    if not (pictures := pictures_in(parts)):
        return []
    suffix, picture = pictures[0]
    if (event := _trouble(descriptor, result.tar, key, picture)) is not None:
        result.events.append(event)
        return []
    plain = suffix.rpartition(".")[2].lower()
    result.suffixes[plain] += 1
    found = label_part(parts, label_field)
    label = UNLABELLED if found is None else read_label(descriptor, found[1], label_field, where=result.tar)
    result.highest_label = max(result.highest_label, label)
    result.num_unlabelled += label == UNLABELLED
    is_named = label_field is not None and label != UNLABELLED
    name = spell(number, f"{key}.{suffix}", label=label if is_named else None)
    members = [IndexMember(plain, picture.offset, picture.size, name)]
    return members if is_named else members + _label_member(found, number, key, label)


def _label_member(found: Part | None, number: int, key: str, label: int) -> list[IndexMember]:
    if found is None or label == UNLABELLED:
        return []
    return [IndexMember(LABEL, found[1].offset, found[1].size, spell(number, f"{key}.{found[0]}"))]


def _trouble(descriptor: int, tar: Path, key: str, picture: TarMember) -> PictureEvent | None:
    content = os.pread(descriptor, picture.size, picture.offset)
    for finding in inspect(content, picture.name).findings:
        if finding.trouble not in HARMLESS:
            name = f"{tar.name}/{key}"
            trouble, detail = str(finding.trouble), finding.detail
            return {"key": key, "name": name, "trouble": trouble, "action": DROPPED, "detail": detail}
    return None
