"""An assignment for people: a table of all images, and one page that shows prototypes with their nearest images.

The page is one file with its pictures inside; everything that came from outside, keys and class names, is escaped.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

from PIL import Image, ImageOps

from shards.tars.shardset import ShardSet
from swav_dali.evaluate.prototypes import Assigned, nearest_images
from swav_dali.evaluate.samples import sample_places

_SIDE = 96
_STYLE = """\
:root{color-scheme:light dark}body{font:14px/1.4 system-ui,sans-serif;margin:1.5rem}
section{margin:0 0 1rem;break-inside:avoid}h2{font-size:1rem;margin:.2rem 0}
figure{display:inline-block;margin:0 4px 0 0}
img{width:96px;height:96px;object-fit:cover;display:block}figcaption{font-size:11px;max-width:96px;overflow:hidden;
text-overflow:ellipsis;white-space:nowrap}.dead h2,.double h2{opacity:.6}"""


def write_table(path: Path, found: Assigned, keys: Mapping[int, str]) -> None:
    """A CSV with a row per image; raises OSError if it cannot be written."""
    images = found.images
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "key", "label", "prototype", "score", "code", "code_share"))
        columns = (found.ids, found.labels, images.nearest, images.score, images.code, images.share)
        for number, label, nearest, score, code, share in zip(*(c.tolist() for c in columns), strict=True):
            writer.writerow((number, keys[number], label, nearest, f"{score:.5f}", code, f"{share:.5f}"))


def draw_sheet(path: Path, found: Assigned, shards: ShardSet, keys: Mapping[int, str], *, count: int) -> None:
    """The page, the most popular prototype first, `count` images each; raises OSError if it cannot be written."""
    places = _Pictures(shards, keys)
    order = found.num_images.argsort(descending=True, stable=True).tolist()
    body = "\n".join(_section(found, prototype, places, count) for prototype in order)
    title = escape(f"Prototypes on {shards.root.name}")
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n<p>{escape(found.summary())}</p>\n{body}\n</html>\n",
        encoding="utf-8",
    )


class _Pictures:
    """Thumbnails of a set's samples, read from the tars in place."""

    def __init__(self, shards: ShardSet, keys: Mapping[int, str]) -> None:
        self._classes = shards.classes
        self._keys = keys
        self._places = {place.number: place for place in sample_places(shards)}

    def figure(self, number: int, label: int, score: float) -> str:
        name = self._classes[label] if label >= 0 else self._keys[number]
        data = base64.b64encode(self._thumbnail(number)).decode()
        return (
            f'<figure><img alt="" src="data:image/jpeg;base64,{data}">'
            f'<figcaption title="{escape(self._keys[number])}">{score:.2f} {escape(name)}</figcaption></figure>'
        )

    def _thumbnail(self, number: int) -> bytes:
        tar, member, _ = self._places[number]
        with tar.open("rb") as file:
            file.seek(member.offset)
            picture = Image.open(io.BytesIO(file.read(member.size))).convert("RGB")
        box = io.BytesIO()
        ImageOps.fit(picture, (_SIDE, _SIDE)).save(box, "JPEG", quality=80)
        return box.getvalue()


def _section(found: Assigned, prototype: int, places: _Pictures, count: int) -> str:
    number, same = int(found.num_images[prototype]), int(found.same_as[prototype])
    share = 100 * number / len(found.ids)
    marks = ["dead: no image's nearest"] * (number == 0) + [f"duplicate of {same}"] * (same != prototype)
    kind = "dead" if number == 0 else "double" if same != prototype else ""
    figures = "".join(
        places.figure(int(found.ids[place]), int(found.labels[place]), float(found.images.score[place]))
        for place in nearest_images(found.images, prototype, count).tolist()
    )
    heading = ", ".join([f"{prototype}: {number} images ({share:.1f} %)", *marks])
    return f'<section class="{kind}"><h2>{heading}</h2>{figures}</section>'
