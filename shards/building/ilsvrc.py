"""What ImageNet (ILSVRC2012) should contain, to compare a build with: classes, pictures and known oddities."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from shards.building.judge import Event
from shards.pictures.troubles import Trouble
from shards.sources.listing import Listing

NUM_CLASSES = 1000
PICTURES = {"train": 1_281_167, "validation": 50_000}
ODDITIES = {  # 22 CMYK files and n02105855_2933.JPEG, a PNG, in train; ILSVRC2012_val_00019877.JPEG is CMYK
    "train": {Trouble.CMYK: 22, Trouble.MISNAMED: 1},
    "validation": {Trouble.CMYK: 1, Trouble.MISNAMED: 0},
}


def is_ilsvrc(classes: tuple[str, ...]) -> bool:
    """Whether these look like ImageNet's thousand classes: WordNet ids, about as many."""
    return len(classes) >= NUM_CLASSES // 2 and all(re.fullmatch(r"n\d{8}", name) for name in classes)


def expectation_lines(listing: Listing, events: Iterable[Event]) -> list[str]:
    """One line per expectation, met or not; empty for other data sets."""
    if not is_ilsvrc(listing.classes):
        return []
    split = min(PICTURES, key=lambda name: abs(PICTURES[name] - len(listing)))
    counts = Counter(Trouble(event["trouble"]) for event in events)
    expectations = [
        ("classes", len(listing.classes), NUM_CLASSES),
        (f"{split} pictures", len(listing), PICTURES[split]),
        *((f"{trouble} pictures", counts[trouble], number) for trouble, number in ODDITIES[split].items()),
    ]
    return [
        f"ILSVRC2012 {what}: found {found:,}, expected {expected:,}{'' if found == expected else '  DIFFERS'}"
        for what, found, expected in expectations
    ]
