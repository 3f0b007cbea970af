"""Crops in one word: `2x224+6x96`, with the area of each as a share of the picture where it matters, `2x224@0.14-1`.

The trainer's --data.crops, the bench and `show` read the same words. The crops of published recipes by name have
their scales; the first four are the reference's, the last is for sets of small pictures.
"""

from __future__ import annotations

import re

from tyro.constructors import PrimitiveConstructorSpec

from pipelines.config import IMAGENET_CROPS, Augmentation, CropGroup
from pipelines.errors import PipelineError

Crops = tuple[CropGroup, ...]


def _group(num: int, size: int, min_scale: float, max_scale: float) -> CropGroup:
    return CropGroup(num=num, size=size, min_scale=min_scale, max_scale=max_scale)


RECIPES: dict[str, Crops] = {
    "2x224+6x96": IMAGENET_CROPS,
    "2x224+4x96": (_group(2, 224, 0.14, 1.0), _group(4, 96, 0.05, 0.14)),
    "2x160+4x96": (_group(2, 160, 0.08, 1.0), _group(4, 96, 0.05, 0.14)),
    "2x224": (_group(2, 224, 0.08, 1.0),),
    "2x64+4x32": (_group(2, 64, 0.3, 1.0), _group(4, 32, 0.08, 0.3)),
    "2x32+4x16": (_group(2, 32, 0.3, 1.0), _group(4, 16, 0.1, 0.3)),
}
_SMALL_BLUR = 0.6  # of 224 pixels 2.0 is the reference's; on crops of 64 it would leave no texture to learn from
PRESETS: dict[str, tuple[Crops, Augmentation]] = {
    "demo": (RECIPES["2x64+4x32"], Augmentation(max_sigma=_SMALL_BLUR)),
    "small": (
        (_group(2, 64, 0.4, 1.0), _group(4, 32, 0.15, 0.4)),
        Augmentation(max_sigma=_SMALL_BLUR, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    ),
    "imagenet": (IMAGENET_CROPS, Augmentation()),
}
"""Crops and distortions of the trainer's presets, so that `show` draws what they train on."""
CROPS_HELP = "crops of every picture: 2x224+6x96, or with their shares of its area 2x224@0.14-1+6x96@0.05-0.14"
_FIRST, _OTHERS = (0.14, 1.0), (0.05, 0.14)
_PART = re.compile(r"(\d+)x(\d+)(?:@(\d*\.?\d+)-(\d*\.?\d+))?")


def parse_crops(text: str, *, where: str = "--crops") -> Crops:
    """The crop groups that `text` names.

    Without scales a published recipe has its own; otherwise the first group's crops cover 0.14 to 1 of the picture's
    area and those of the others 0.05 to 0.14.

    Raises:
        PipelineError: `text` is no such word, or names crops that cannot be cut.
    """
    if text in RECIPES:
        return RECIPES[text]
    return tuple(
        _parse_group(part, _OTHERS if index else _FIRST, text, where) for index, part in enumerate(text.split("+"))
    )


def crops_text(crops: Crops) -> str:
    """The word that `parse_crops` reads as these groups, with all scales."""
    return "+".join(map(str, crops))


def sizes_text(crops: Crops) -> str:
    """Numbers and sizes alone, for a headline."""
    return "+".join(f"{group.num}x{group.size}" for group in crops)


def _parse_group(part: str, scales: tuple[float, float], text: str, where: str) -> CropGroup:
    match = _PART.fullmatch(part)
    if match is None:
        raise PipelineError(
            "crops are NUMBERxSIZE, joined by +, with shares of the area after @",
            where=where,
            found=text,
            expected="for instance 2x224+6x96, or 2x224@0.14-1+6x96@0.05-0.14",
        )
    num, size, smallest, largest = match.groups()
    return _group(int(num), int(size), *(scales if smallest is None else (float(smallest), float(largest))))


CROPS_WORD: PrimitiveConstructorSpec[Crops] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="CROPS",
    instance_from_str=lambda words: parse_crops(words[0], where="--data.crops"),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda crops: [crops_text(crops)],
)
"""How the command line of the trainer reads and shows crops."""
