"""What an index calls a sample: what is spelled is read back, whatever the tar's own name."""

from __future__ import annotations

import pytest

from shards.tars.sample_name import SampleName, parse_sample_name, renumbered, spell

NAMES = [
    "n01440764_tench.jpg",
    "a/b.jpg",
    "0001.jpg",
    "7=3/x.jpg",
    "my cat.jpg",
    "a:b.jpg",
    "50%.jpg",
    "café\udcff.jpg",
]


@pytest.mark.parametrize("label", [None, 0, 21_840])
@pytest.mark.parametrize("name", NAMES)
def test_number_and_label_are_read_back(name: str, label: int | None) -> None:
    spelled = renumbered(spell(0, name, label=label), 1_281_166)
    assert not set(spelled) & set(" \n\t:")
    found = parse_sample_name(spelled)
    assert found is not None
    assert (found.number, found.label) == (1_281_166, label)
    assert found.name.isascii() or found.name.startswith("café")


def test_names_of_our_own_shards_stay_as_they_were() -> None:
    assert parse_sample_name("000000012.jpg") == SampleName(12, None, "000000012.jpg")
    assert parse_sample_name("n01440764_tench.jpg") is None
    assert parse_sample_name("x/000000012.jpg") is None
    assert parse_sample_name("12/tench.jpg") is None  # a folder's number in an index of an earlier version
