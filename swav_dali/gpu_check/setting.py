"""What the figures share: the device, the sizes, the folder with what was made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.config import IMAGENET_CROPS, CropGroup

_TINY_CROPS = (
    CropGroup(num=2, size=16, min_scale=0.3, max_scale=1.0),
    CropGroup(num=1, size=12, min_scale=0.1, max_scale=0.3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run of the check.

    Attributes:
        device: torch's name of the kind of device.
        tiny: rehearse: everything small, nothing long enough to mean something.
        work: folder for what is made.
        shards: a shard set of photos, or None to make them.
        pictures: how many to make.
    """

    device: str
    tiny: bool
    work: Path
    shards: Path | None
    pictures: int

    @property
    def crops(self) -> tuple[CropGroup, ...]:
        """Crop groups of all figures."""
        return _TINY_CROPS if self.tiny else IMAGENET_CROPS

    @property
    def batches(self) -> dict[str, int]:
        """Images of the small, big and huge batch."""
        return {"small": 2, "big": 2, "huge": 2} if self.tiny else {"small": 64, "big": 256, "huge": 512}

    @property
    def arch(self) -> str:
        """The trunk trained."""
        return "tiny" if self.tiny else "resnet50"

    @property
    def num_prototypes(self) -> int:
        """Prototypes of the network."""
        return 30 if self.tiny else 3000

    @property
    def steps(self) -> int:
        """Steps timed."""
        return 1 if self.tiny else 20

    @property
    def seconds(self) -> float:
        """How long loaders are timed."""
        return 0.1 if self.tiny else 4.0

    @property
    def num_pictures(self) -> int:
        """Photos made, enough for the huge batch."""
        return 16 if self.tiny else max(self.pictures, 512)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the photos, ImageNet's mean."""
        return (48, 36) if self.tiny else (500, 375)

    @property
    def threads(self) -> int:
        """CPU threads of the loaders: all cores of this process."""
        return len(os.sched_getaffinity(0))

    @property
    def photos(self) -> Path:
        """The shard set all figures read."""
        return self.shards or self.work / "photos" / "shards"

    def as_flags(self) -> list[str]:
        """The command line of a worker."""
        given = [] if self.shards is None else ["--shards", str(self.shards)]
        size = ["--tiny"] if self.tiny else []
        return ["--device", self.device, "--work", str(self.work), "--pictures", str(self.pictures), *given, *size]
