"""The drawn pictures as a source: nothing is read, each picture is drawn when a worker asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from shards.demo.picture import CLASSES, draw_jpeg
from shards.sources.listing import Listing, ListingBuilder, SampleRef

TYPICAL_BYTES = 57_000


@dataclass(frozen=True, kw_only=True)
class Painter:
    """Draws a sample's picture; the same sample and seed give the same bytes."""

    seed: int

    def read(self, sample: SampleRef) -> bytes:
        return draw_jpeg(sample.label, (self.seed, sample.offset))


@dataclass(frozen=True, kw_only=True)
class DrawnPictures:
    """`num_pictures` pictures spread evenly over the classes.

    `stream` tells splits apart: pictures of different streams share nothing but their classes.
    """

    num_pictures: int
    seed: int
    stream: int
    kind = "drawn"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"{self.num_pictures:,} pictures drawn from seed {self.seed}"

    def scan(self) -> tuple[Listing, list[str]]:
        """Names like files of a class folder tree."""
        builder = ListingBuilder()
        for number in range(self.num_pictures):
            label = number % len(CLASSES)
            name = f"{CLASSES[label]}/{number:06d}.jpg"
            place = self.stream * 1_000_000_000 + number
            builder.add(name, size=-TYPICAL_BYTES, label=label, offset=place)
        return builder.finish(CLASSES), []

    def reader(self) -> Painter:
        return Painter(seed=self.seed)
