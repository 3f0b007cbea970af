"""The exact operator inside DALI: draws, shapes, types, threads, checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p
from pipelines.crops.exact import Precision, draw_parameters, exact_crops, normalization
from pipelines.crops.kernels import crops_of
from pipelines.parity.distributions import drawn_rows

CROPS = (
    CropGroup(num=2, size=48, min_scale=0.14, max_scale=1.0),
    CropGroup(num=3, size=24, min_scale=0.05, max_scale=0.14),
)
AUGMENT = Augmentation()
IMAGES = [np.random.default_rng(k).integers(0, 256, (60 + 13 * k, 90 - 5 * k, 3), dtype=np.uint8) for k in range(8)]


def pipeline(
    seed: int = 7,
    threads: int = 1,
    precision: Precision = "float32",
    crops: Sequence[CropGroup] = CROPS,
    checkpoint: bytes | None = None,
) -> Pipeline:
    """Outputs the crops of every group, then their parameters."""
    made = Pipeline(
        batch_size=len(IMAGES),
        num_threads=threads,
        device_id=None,
        seed=seed,
        enable_checkpointing=True,
        checkpoint=checkpoint,
    )
    with made:
        images = fn.external_source(source=lambda _: IMAGES, layout="HWC", batch=True)
        parameters = draw_parameters(images.shape(), crops=crops, augment=AUGMENT)
        outputs = exact_crops(images, parameters, crops=crops, augment=AUGMENT, precision=precision)
        made.set_outputs(*outputs, *parameters)
    made.build()
    return made


def run(made: Pipeline) -> list[np.ndarray]:
    return [np.array(output.as_tensor()) for output in made.run()]


def test_outputs_are_the_kernels_crops_of_the_drawn_parameters() -> None:
    *crops, rows, small_rows = run(pipeline())
    assert [each.shape for each in crops] == [(8, 2, 48, 48, 3), (8, 3, 24, 24, 3)]
    for image, *drawn in zip(IMAGES, rows, small_rows, *crops, strict=True):
        for parameters, ours, group in zip(drawn[:2], drawn[2:], CROPS, strict=True):
            expected = crops_of(image, parameters, group.size, normalization(AUGMENT))
            np.testing.assert_array_equal(ours, expected)


def test_same_seed_same_crops_for_any_number_of_threads() -> None:
    one, two = run(pipeline(threads=1)), run(pipeline(threads=2))
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_seeds_batches_and_crops_draw_differently() -> None:
    made = pipeline()
    first, second, other = run(made)[2], run(made)[2], run(pipeline(seed=8))[2]
    assert not (first == second).all()
    assert not (first == other).all()
    assert len(np.unique(first[:, :, p.BRIGHTNESS])) == first[:, :, 0].size


def test_a_checkpoint_continues_with_the_same_bits() -> None:
    made = pipeline()
    run(made)
    blob = made.checkpoint()
    expected = run(made)
    for ours, theirs in zip(run(pipeline(seed=99, checkpoint=blob)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sixteen_bit_outputs_are_the_rounded_crops() -> None:
    single = torch.from_numpy(run(pipeline())[0])
    half = torch.from_numpy(run(pipeline(precision="float16"))[0].view(np.int16)).view(torch.float16)
    brain = torch.from_numpy(run(pipeline(precision="bfloat16"))[0].view(np.int16)).view(torch.bfloat16)
    assert torch.equal(half, single.to(torch.float16))
    assert torch.equal(brain, single.to(torch.bfloat16))


@pytest.mark.parametrize("groups", [1, 3, 4])
def test_groups_come_out_in_order(groups: int) -> None:
    crops = [CropGroup(num=1, size=16 + 8 * k, min_scale=0.5, max_scale=1.0) for k in range(groups)]
    outputs = run(pipeline(crops=crops))
    assert [each.shape for each in outputs[:groups]] == [(8, 1, 16 + 8 * k, 16 + 8 * k, 3) for k in range(groups)]


def test_drawn_columns_keep_their_ranges() -> None:
    made = pipeline()
    drawn = [run(made)[2:] for _ in range(20)]
    for group, rows in zip(CROPS, (np.stack(each) for each in zip(*drawn, strict=True)), strict=True):
        sizes = np.array([image.shape[:2] for image in IMAGES])[None, :, None, :]
        window = rows[..., p.TOP : p.WIDTH + 1]
        assert (window == np.round(window)).all()
        assert (window >= [0, 0, 1, 1]).all()
        assert (window[..., :2] + window[..., 2:] <= sizes).all()
        share = window[..., 2:].prod(-1) / sizes.prod(-1)
        assert share.max() <= group.max_scale * 1.1
        assert share.min() >= group.min_scale * 0.9
        assert set(np.unique(rows[..., p.ORDER])) == set(range(24))
        assert set(np.unique(rows[..., [p.FLIP, p.JITTER, p.GRAY]])) == {0.0, 1.0}
        assert np.abs(rows[..., p.BRIGHTNESS : p.HUE] - 1).max() <= 0.8
        assert np.abs(rows[..., p.HUE]).max() <= 0.2
        sigma = rows[..., p.SIGMA]
        assert sigma[sigma > 0].min() >= 0.1
        assert sigma.max() <= 2.0


def test_strengths_of_zero_draw_neutral_factors() -> None:
    group = CropGroup(num=4, size=32, min_scale=0.5, max_scale=0.5)
    augment = Augmentation(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, min_sigma=1.5, max_sigma=1.5)
    rows = np.stack(drawn_rows(IMAGES, group, augment, seed=2))
    assert (rows[..., p.BRIGHTNESS : p.HUE + 1] == [1, 1, 1, 0]).all()
    assert set(np.unique(rows[..., p.SIGMA])) == {0.0, 1.5}


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 7), (1, 40), (40, 1), (20, 300), (300, 20)])
def test_windows_of_odd_images_are_not_empty(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    for group in (CropGroup(num=50, size=32, min_scale=0.05, max_scale=0.14), CROPS[0]):
        (rows,) = drawn_rows([image], group, AUGMENT, seed=4)
        window = rows[:, p.TOP : p.WIDTH + 1]
        assert (window[:, 2:] >= 1).all()
        assert (window[:, :2] >= 0).all()
        assert (window[:, :2] + window[:, 2:] <= shape).all()


def test_coins_fall_as_often_as_asked() -> None:
    made = pipeline()
    rows = np.concatenate([run(made)[3].reshape(-1, p.COLUMNS) for _ in range(100)])
    for column, share in ((p.FLIP, 0.5), (p.JITTER, 0.8), (p.GRAY, 0.2), (p.SIGMA, 0.5)):
        assert abs((rows[:, column] > 0).mean() - share) < 4 * np.sqrt(share * (1 - share) / len(rows))
