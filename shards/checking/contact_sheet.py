"""A contact sheet: a few pictures of every class with their names, so that a person sees what is in a shard set."""

from __future__ import annotations

import io
import os
import warnings
from collections import defaultdict
from collections.abc import Iterator

from PIL import Image, ImageDraw

from shards.host.files import opened
from shards.tars.index import IndexMember, parse_index
from shards.tars.sample_name import parse_sample_name
from shards.tars.shardset import Shard, ShardSet

THUMB = 96  # pixels
MARGIN = 4
LABEL_WIDTH = 160
LINE = 14
MAX_CLASSES = 40


def contact_sheet(shard_set: ShardSet, *, per_class: int = 8, max_classes: int = MAX_CLASSES) -> Image.Image:
    """Rows of thumbnails, one row per class, classes in label order; unlabelled sets fill rows in order."""
    wanted = min(len(shard_set.classes) or max_classes // 4, max_classes)
    rows: dict[int, list[Image.Image]] = defaultdict(list)
    unlabelled = 0
    for label, content in _pictures(shard_set):
        row = unlabelled // per_class if label is None else label
        unlabelled += label is None
        if row < wanted and len(rows[row]) < per_class:
            rows[row].append(_thumbnail(content))
        if len(rows) >= wanted and all(len(rows[row]) >= per_class for row in range(wanted)):
            break
    return _lay_out([rows[row] for row in range(wanted)], list(shard_set.classes[:wanted]), per_class)


def _lay_out(rows: list[list[Image.Image]], names: list[str], per_class: int) -> Image.Image:
    left = LABEL_WIDTH if names else 0
    sheet = Image.new("RGB", (left + per_class * (THUMB + MARGIN), len(rows) * (THUMB + MARGIN)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, thumbs in enumerate(rows):
        top = number * (THUMB + MARGIN)
        if names:
            draw.text((MARGIN, top + THUMB // 2 - LINE // 2), f"{number} {names[number]}"[:26], fill="black")
        for column, thumb in enumerate(thumbs):
            sheet.paste(thumb, (left + column * (THUMB + MARGIN), top))
    return sheet


def _thumbnail(content: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Image.open(io.BytesIO(content))
        file.draft("RGB", (2 * THUMB, 2 * THUMB))  # lets libjpeg skip most of a large picture
        image = file.convert("RGB")
    image.thumbnail((THUMB, THUMB))
    return image


def _pictures(shard_set: ShardSet) -> Iterator[tuple[int | None, bytes]]:
    """(label, picture) of the samples in their order; label is None where there is none."""
    for shard in shard_set.shards:
        yield from _pictures_of(shard)


def _pictures_of(shard: Shard) -> Iterator[tuple[int | None, bytes]]:
    with opened(shard.tar) as descriptor:
        for picture, *labels in parse_index(shard.idx.read_bytes(), where=shard.idx):
            yield _label(descriptor, picture, labels), os.pread(descriptor, picture.size, picture.offset)


def _label(descriptor: int, picture: IndexMember, labels: list[IndexMember]) -> int | None:
    """From the `cls` member, or from what the index calls the picture."""
    if labels:
        return int(os.pread(descriptor, labels[0].size, labels[0].offset))
    name = parse_sample_name(picture.name)
    return None if name is None else name.label
