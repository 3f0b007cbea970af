"""Pictures of a run: the crops as the network saw them, the prototypes' nearest pictures, and files that read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.batch import ImageBatch
from swav_dali.evaluate.prototype_pictures import draw_prototypes
from swav_dali.model.net import SwavNet
from swav_dali.watch.pictures import CROPS, Gallery, draw_crops, galleries, read_gallery, write_gallery

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))


def plain(colour: tuple[int, ...], size: int) -> Tensor:
    """A picture of one colour, normalized."""
    levels = torch.tensor(colour)[:, None, None] / 255
    return ((levels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]).expand(3, size, size)


def colour_at(gallery: Gallery, row: int, x: int, y: int) -> np.ndarray[Any, Any]:
    return np.array(gallery.rows[row].picture().getpixel((x, y)))


def test_every_crop_of_a_picture_stands_in_its_row_at_its_size() -> None:
    large = torch.stack([torch.stack([plain(COLOURS[(i + c) % 4], 224) for c in range(2)]) for i in range(3)])
    small = torch.stack([torch.stack([plain(COLOURS[(i + c + 2) % 4], 96) for c in range(3)]) for i in range(3)])
    gallery = draw_crops([large, small.bfloat16()], MEAN, STD, step=0)
    assert len(gallery.rows) == 3
    assert gallery.rows[0].picture().size == (2 * 112 + 3 * 48 + 4 * 2, 112)
    for row in range(3):
        for crop, x in enumerate((50, 170, 250, 300, 350)):
            assert np.abs(colour_at(gallery, row, x, 20) - COLOURS[(row + crop) % 4]).max() < 12, (row, crop)
    assert "2x224+3x96" in gallery.title


def test_a_gallery_reads_back_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    drawn = draw_crops([torch.stack([plain(COLOURS[0], 32)[None]])], MEAN, STD, step=7)
    write_gallery(drawn, tmp_path / CROPS)
    assert read_gallery(tmp_path / CROPS) == drawn
    for name, content in {
        "a": "{",
        "b": "{}",
        "c": json.dumps({"rows": [{"caption": "x", "jpeg": "<script>"}]}),
    }.items():
        (tmp_path / CROPS).with_name(f"{name}.json").write_text(content)
    assert [gallery.step for _, gallery in galleries(tmp_path)] == [7]


@pytest.mark.parametrize("was_training", [True, False])
def test_prototypes_are_shown_with_their_nearest_pictures_the_surest_first(was_training: bool) -> None:
    torch.manual_seed(0)
    model = SwavNet("tiny", embedding_dim=8, hidden_dim=16, num_prototypes=5).train(was_training)
    images = torch.stack([plain(COLOURS[number % 4], 32) for number in range(12)])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = [ImageBatch(part, torch.zeros(6), torch.arange(6)) for part in images.split(6)]
    gallery = draw_prototypes(model, batches, MEAN, STD, step=3)
    model.eval()
    with torch.no_grad():
        nearest = model([images[:, None]])[1][0].argmax(1)
    counts = nearest.bincount(minlength=5)
    told = [
        f"prototype {p}: nearest to {counts[p]} of 12 pictures" for p in counts.argsort(descending=True, stable=True)
    ]
    assert [row.caption for row in gallery.rows] == told[: int((counts > 0).sum())]
    first = nearest.bincount(minlength=5).argmax()
    shown = colour_at(gallery, 0, 16, 16)
    assert any(np.abs(shown - COLOURS[number % 4]).max() < 12 for number in (nearest == first).nonzero().flatten())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
