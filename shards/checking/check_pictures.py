"""Looking at every picture of a tar: by our own strict reading, and where that is not the decoder's, by its answer.

JPEGs are read by the same library here and there; of other formats DALI has readers of its own.
"""

from __future__ import annotations

import os

from shards.checking.second_opinion import SecondOpinion
from shards.pictures.inspect import inspect
from shards.pictures.troubles import Trouble
from shards.sources.tar_samples import TarSample, is_picture_suffix

FATAL = frozenset(
    {
        Trouble.EMPTY,
        Trouble.NOT_AN_IMAGE,
        Trouble.TRUNCATED,
        Trouble.CORRUPT,
        Trouble.UNSUPPORTED,
        Trouble.UNUSUAL,
        Trouble.TOO_LARGE,
    }
)
MOST_PIXELS = 1 << 29  # with more DALI would not be given it


def picture_problems(descriptor: int, samples: list[TarSample], opinion: SecondOpinion) -> tuple[list[str], int]:
    """Sentences about the pictures that would stop a batch, and how many the decoder itself should have looked at."""
    problems, num_asked = list[str](), 0
    for key, parts in samples:
        for suffix, member in parts:
            if not is_picture_suffix(suffix):
                continue
            content = os.pread(descriptor, member.size, member.offset)
            seen = inspect(content, member.name, max_pixels=MOST_PIXELS)
            found = [f"{key}: {f.trouble}: {f.detail}" for f in seen.findings if f.trouble in FATAL]
            if not found and seen.suffix != "jpg":
                num_asked += 1
                if refusal := opinion.refusal(content):
                    found.append(f"{key}: refused by {opinion.name}: {refusal}")
            problems += found
    return problems, num_asked
