"""What can be chosen about crops and their augmentation, as frozen values without torch or DALI.

Every default is the reference's: 2x224 + 6x96, jitter strength 1, blur .5, std .228. Nested into the trainer's
configuration; each field's docstring is its help text. The crops of published recipes are in pipelines.recipes.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from tyro.conf import arg

from pipelines.errors import PipelineError
from pipelines.tags import Before, Expert, Free

CropsBy = Literal["gpu", "cpu", "dali"]
Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CropGroup:
    """Crops of one size."""

    num: int
    """Crops per image."""
    size: int
    """Side of the square crop, in pixels."""
    min_scale: float
    """Smallest crop area as a share of the image."""
    max_scale: float
    """Largest crop area as a share of the image."""

    def __post_init__(self) -> None:
        """Refuse what no graph can draw."""
        if self.num < 1 or self.size < 8:
            raise PipelineError(
                "a crop group needs at least one crop of 8 pixels",
                where="--data.crops",
                found=f"{self.num}x{self.size}",
            )
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise PipelineError(
                "crop scales are shares of the image area",
                where="--data.crops",
                found=f"[{self.min_scale}, {self.max_scale}]",
                expected="0 < smallest <= largest <= 1",
            )

    def __str__(self) -> str:
        """As on the command line: `2x224@0.14-1`."""
        return f"{self.num}x{self.size}@{_plain(self.min_scale)}-{_plain(self.max_scale)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random distortions of one crop, drawn independently for every crop."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    jitter: float = 0.8
    """Probability of colour jitter."""
    brightness: float = 0.8
    """Brightness factor is drawn from [1 - x, 1 + x]."""
    contrast: float = 0.8
    """Contrast factor is drawn from [1 - x, 1 + x]."""
    saturation: float = 0.8
    """Saturation factor is drawn from [1 - x, 1 + x]."""
    hue: float = 0.2
    """Hue shift is drawn from [-x, x] of a full turn."""
    gray: float = 0.2
    """Probability of dropping the colour."""
    blur: float = 0.5
    """Probability of a Gaussian blur."""
    min_sigma: float = 0.1
    """Smallest blur sigma, in pixels."""
    max_sigma: float = 2.0
    """Largest blur sigma, in pixels."""
    solarize: float = 0.0
    """Probability of inverting the levels from 128 up, after the blur."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means subtracted from pixels in [0, 1]."""
    std: tuple[float, float, float] = (0.228, 0.224, 0.225)
    """Channel deviations divided by; 0.228 is the reference's."""

    def __post_init__(self) -> None:
        """Refuse probabilities and ranges that cannot be drawn from."""
        for name in ("flip", "jitter", "gray", "blur", "solarize"):
            if not 0 <= getattr(self, name) <= 1:
                raise PipelineError(
                    "not a probability", where=f"--data.augment.{name}", found=getattr(self, name), expected="[0, 1]"
                )
        for name, most in (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise PipelineError(
                    "jitter strength out of range",
                    where=f"--data.augment.{name}",
                    found=getattr(self, name),
                    expected=f"[0, {most}]",
                )
        if not 0 < self.min_sigma <= self.max_sigma:
            raise PipelineError(
                "blur sigma range is empty",
                where="--data.augment.min-sigma",
                found=f"[{self.min_sigma}, {self.max_sigma}]",
                expected="0 < min_sigma <= max_sigma",
            )
        if min(self.std) <= 0:
            raise PipelineError("deviation must be positive", where="--data.augment.std", found=self.std)


IMAGENET_CROPS = (
    CropGroup(num=2, size=224, min_scale=0.14, max_scale=1.0),
    CropGroup(num=6, size=96, min_scale=0.05, max_scale=0.14),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderOptions:
    """How shards are read and decoded; only `shuffle_pool` changes the order of the images."""

    threads: Free[int] = 0
    """CPU threads of the pipeline; 0 divides this machine's cores among its ranks."""
    prefetch: Free[int] = 2
    """Batches prepared ahead."""
    shuffle_pool: Expert[int] = 4096
    """Encoded images held in memory to draw the next one from; the shards are shuffled as a whole already."""
    reader_prefetch: Expert[Free[int]] = 1
    """Batches of encoded images read ahead; 2 to 4 hide the latency of network storage."""
    use_mmap: Expert[Free[bool]] = True
    """Map the tars into memory; switch off on NFS and Lustre, where one file is then held open per shard."""
    decode_on: Expert[Literal["device", "cpu"]] = "device"
    """Decode where the crops are made, or on the CPU for crops made on a GPU."""
    hardware_decoder_load: Expert[float] = 0.65
    """Share of the images given to the JPEG engine of GPUs that have one."""
    device_padding_mib: Expert[Free[int]] = 16
    """Device memory per thread reserved for decoding."""
    host_padding_mib: Expert[Free[int]] = 8
    """Pinned host memory per thread reserved for decoding."""
    precision: Annotated[Expert[Precision | Literal["auto"]], Before("float32")] = "auto"
    """Type of the pixels in a batch: `auto` is the type of the autocast on CUDA, float32 elsewhere."""
    on_error: Annotated[Free[Literal["stop", "skip"]], arg(aliases=("--data.on-error",))] = "stop"
    """A picture that cannot be decoded stops the run, or is replaced by another of its batch and counted."""
    tars_at: Expert[Free[str | None]] = None
    """Folder or s3://bucket/prefix that holds a copy of the tars; the shard folder then needs only the rest."""

    def __post_init__(self) -> None:
        """Refuse counts below what a pipeline needs."""
        for name, least in (("threads", 0), ("prefetch", 1), ("shuffle_pool", 1), ("reader_prefetch", 1)):
            if getattr(self, name) < least:
                raise PipelineError(
                    "too small",
                    where=f"--data.loader.{name.replace('_', '-')}",
                    found=getattr(self, name),
                    expected=f"{least} or more",
                )
        if not 0 <= self.hardware_decoder_load <= 1:
            raise PipelineError(
                "not a share",
                where="--data.loader.hardware-decoder-load",
                found=self.hardware_decoder_load,
                expected="[0, 1]",
            )


def resolve_crops_by(asked: CropsBy | Literal["auto"], *, on_cuda: bool) -> CropsBy:
    """What makes the crops on this kind of device; raises PipelineError for a GPU that is not there."""
    if asked == "auto":
        return "gpu" if on_cuda else "cpu"
    if asked == "gpu" and not on_cuda:
        raise PipelineError(
            "crops by the GPU need a CUDA device", where="--data.crops-by", found=asked, expected="cpu or dali"
        )
    return asked


def crops_by_of_quality(quality: str, *, on_cuda: bool) -> CropsBy:
    """What `data.quality` of earlier versions meant: `fast` was DALI's operators, `exact` was made on the device."""
    if quality == "fast":
        return "dali"
    return "gpu" if on_cuda else "cpu"


def _plain(number: float) -> str:
    """All digits of a number and no exponent, whose minus would read as the dash between two scales."""
    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")
