"""The DALI graph of training: read, decode once, draw, and cut, distort and normalize every crop.

One function for both devices; only the decoder and what makes the crops differ. All random numbers are drawn on the
CPU by named operators (pipelines.crops.exact.draw_parameters), so whatever makes the crops sees the same ones and a
checkpoint restores them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from pipelines.config import Augmentation, CropGroup, CropsBy, LoaderOptions, Precision
from pipelines.crops.exact import draw_parameters, exact_crops
from pipelines.crops.exact_operator import MOST_GROUPS
from pipelines.crops.fast import fast_crops
from pipelines.reading.guard import guarded
from pipelines.reading.reader import ReadPlan, exchange, read

DaliDevice = Literal["cpu", "gpu"]


def dali_device(device: torch.device) -> DaliDevice:
    """DALI's word for the kind of device."""
    return "gpu" if device.type == "cuda" else "cpu"


def device_id(device: torch.device) -> int | None:
    """DALI's number of a CUDA device, the current one where it has none; None for a pipeline without one."""
    if device.type != "cuda":
        return None
    return torch.cuda.current_device() if device.index is None else device.index


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPlan:
    """What is made of every image.

    Attributes:
        crops: groups, in the order of the outputs.
        augment: probabilities, ranges, mean and std.
        crops_by: `gpu` decodes and cuts on the GPU, `cpu` on CPU cores and copies, `dali` is DALI's stock operators.
        device: where the batch is wanted.
        options: decoder knobs.
    """

    crops: tuple[CropGroup, ...]
    augment: Augmentation
    crops_by: CropsBy
    device: DaliDevice
    options: LoaderOptions

    @property
    def decoder(self) -> DaliDevice:
        """Where pictures are decoded to."""
        return "cpu" if self.crops_by == "cpu" else self.device

    @property
    def precision(self) -> Precision:
        """Type of the pixels; nothing here knows of an autocast."""
        return "float32" if self.options.precision == "auto" else self.options.precision


def training_pipeline(
    reading: ReadPlan,
    plan: CropPlan,
    *,
    batch_size: int,
    seed: int,
    threads: int,
    device_id: int | None,
    checkpoint: bytes | None = None,
    slots: tuple[int, ...] | None = None,
) -> Pipeline:
    """An unbuilt pipeline: one output per crop group, (num, size, size, 3) per image, then label digits and source.

    Where crops are made by the `gpu`, behind the graph (pipelines.crops.stage), it puts out the decoded pictures and
    the drawn parameters of every group, float32 (num, COLUMNS) on the CPU, instead.

    Args:
        reading: what this rank reads.
        plan: what it makes of it.
        batch_size: images per batch.
        seed: of the augmentations; differs between ranks.
        threads: CPU threads.
        device_id: CUDA device, None without one.
        checkpoint: state to continue from.
        slots: for every place of a batch the place its sample is taken from; None leaves all where they are.
    """
    return _training_graph(
        reading,
        plan,
        slots,
        batch_size=batch_size,
        seed=seed,
        num_threads=threads,
        device_id=device_id,
        prefetch_queue_depth=plan.options.prefetch,
        enable_checkpointing=True,
        checkpoint=checkpoint,
    )


@pipeline_def(enable_conditionals=True)
def _training_graph(reading: ReadPlan, plan: CropPlan, slots: tuple[int, ...] | None) -> tuple[DataNode, ...]:
    encoded, digits, source = exchange(read(reading), slots)
    encoded, shapes = guarded(encoded)
    images = decode(encoded, plan.decoder, plan.options)
    parameters = draw_parameters(shapes, crops=plan.crops, augment=plan.augment)
    if plan.crops_by == "gpu":
        return (images, *parameters, digits, source)
    return (*make_crops(images, parameters, plan), digits, source)


def make_crops(images: DataNode, parameters: Sequence[DataNode], plan: CropPlan) -> list[DataNode]:
    """One node per group, (num, size, size, 3) per image, made as `plan` says and lying on its device.

    Elements have the plan's precision, those of the compiled kernels in 16 bits as uint16; a bfloat16 that DALI's
    operators cannot write is left to the reader of the batch and comes as float32.
    """
    if plan.crops_by == "dali":
        half = plan.precision == "float16"
        return fast_crops(images, parameters, crops=plan.crops, augment=plan.augment, device=plan.device, half=half)
    without_conditionals: Callable[..., list[DataNode]] = do_not_convert(_exact_crops)
    return without_conditionals(images, parameters, plan)


def _exact_crops(images: DataNode, parameters: Sequence[DataNode], plan: CropPlan) -> list[DataNode]:
    made = _compiled_crops(images, parameters, plan)
    return (
        made if plan.device == "cpu" else [crops.gpu() for crops in made]
    )  # DALI copies as far ahead as it prefetches


def _compiled_crops(images: DataNode, parameters: Sequence[DataNode], plan: CropPlan) -> list[DataNode]:
    made: list[DataNode] = []
    for first in range(0, len(plan.crops), MOST_GROUPS):
        part = slice(first, first + MOST_GROUPS)
        made += exact_crops(
            images,
            parameters[part],
            crops=plan.crops[part],
            augment=plan.augment,
            precision=plan.precision,
        )
    return made


def decode(encoded: DataNode, device: DaliDevice, options: LoaderOptions) -> DataNode:
    """RGB uint8 (height, width, 3) on `device`, the pixels PIL gives: EXIF orientation is not applied."""
    if device == "cpu":
        return _decode_on_cpu(encoded)
    if options.decode_on == "cpu":
        return _decode_on_cpu(encoded).gpu()
    return fn.decoders.image(
        encoded,
        device="mixed",
        output_type=types.RGB,
        adjust_orientation=False,
        jpeg_fancy_upsampling=True,  # libjpeg's chroma; the default is nearest and shifts colours
        hw_decoder_load=options.hardware_decoder_load,
        device_memory_padding=options.device_padding_mib * 2**20,
        host_memory_padding=options.host_padding_mib * 2**20,
    )


def _decode_on_cpu(encoded: DataNode) -> DataNode:
    return fn.decoders.image(
        encoded, device="cpu", output_type=types.RGB, adjust_orientation=False, jpeg_fancy_upsampling=True
    )
