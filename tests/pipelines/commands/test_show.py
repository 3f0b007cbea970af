"""The picture and the tables of `show`: the same parameters in every column, and `fast` found where it differs."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p
from pipelines.parity.compare import compare, our_crops
from pipelines.parity.contact_sheet import contact_sheet
from pipelines.parity.decoded import first_images
from pipelines.parity.distributions import drawn_rows
from pipelines.parity.fast_levels import fast_levels
from shards.tars.index import parse_index

GROUP = CropGroup(num=2, size=24, min_scale=0.3, max_scale=1.0)
ROOT = Path(__file__).parents[3]


def test_the_first_images_are_pillows(make_set: Any) -> None:
    shards = make_set(24)
    samples = parse_index(shards.shards[0].idx.read_bytes(), where="idx")[:3]
    content = shards.shards[0].tar.read_bytes()
    for image, sample in zip(first_images(shards, 3), samples, strict=True):
        picture = Image.open(io.BytesIO(content[sample[0].offset :][: sample[0].size]))
        np.testing.assert_array_equal(image, np.asarray(picture.convert("RGB")))


def test_the_sheet_has_a_row_per_image_and_three_columns_per_crop(make_set: Any) -> None:
    images = first_images(make_set(24), 3)
    rows = drawn_rows(images, GROUP, Augmentation(), seed=1)
    sheet = np.asarray(contact_sheet(images, rows, GROUP.size))
    assert sheet.shape == (16 + 3 * 28, 28 * 7 + 2 * 16, 3)
    np.testing.assert_array_equal(sheet[16:40, 28 + 16 : 28 + 16 + 24], our_crops(images[0], rows[0], 24)[0])


def test_fast_differs_in_hue_and_hardly_in_a_plain_crop(make_set: Any) -> None:
    images = first_images(make_set(24), 6)
    rows = drawn_rows(images, GROUP, Augmentation(), seed=2)
    found = {(d.step, d.against): d.mean for d in compare(images, rows, GROUP.size, make=fast_levels)}
    assert found["crop + resize", "pillow"] < 1.5
    assert found["hue", "tensor"] > 2.0


def test_fast_solarizes_as_torchvision(make_set: Any) -> None:
    images = first_images(make_set(24), 2)
    rows = drawn_rows(images, GROUP, Augmentation(jitter=0, gray=0, blur=0), seed=3)
    plain = fast_levels(images, rows, 24)
    for each in rows:
        each[:, p.SOLARIZE] = 1
    np.testing.assert_array_equal(fast_levels(images, rows, 24), np.minimum(plain, 255 - plain))


def test_help_has_examples_and_loads_neither_torch_nor_dali() -> None:
    check = (
        "import sys, runpy; sys.argv = ['pipelines', '--help']\n"
        "try: runpy.run_module('pipelines', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'nvidia', 'numba'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout
    assert "python -m pipelines bench" in done.stdout


def test_unknown_crops_and_missing_shards_are_one_line_each(tmp_path: Path) -> None:
    for arguments, text in ((["--crops", "2y225"], "--crops: crops are NUMBERxSIZE"), ([], "no such folder")):
        command = [sys.executable, "-m", "pipelines", "show", str(tmp_path / "none"), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1
