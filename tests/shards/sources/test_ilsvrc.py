"""Expectations for ImageNet are stated for ImageNet only, and differences stand out."""

from __future__ import annotations

from shards.pictures.troubles import Trouble
from shards.sources.ilsvrc import expectation_lines
from shards.sources.listing import Listing, ListingBuilder


def listing(num_classes: int) -> Listing:
    builder = ListingBuilder()
    builder.add("n00000000/x.JPEG", size=1, label=0)
    return builder.finish(tuple(f"n{number:08d}" for number in range(num_classes)))


def test_other_data_sets_have_no_expectations() -> None:
    assert expectation_lines(listing(10), {}) == []


def test_differences_are_marked() -> None:
    lines = expectation_lines(listing(1000), {Trouble.CMYK: 1})
    assert lines[0] == "ILSVRC2012 classes: found 1,000, expected 1,000"
    assert lines[1] == "ILSVRC2012 validation pictures: found 1, expected 50,000  DIFFERS"
    assert lines[2] == "ILSVRC2012 cmyk pictures: found 1, expected 1"
