"""The loaders people use today, on the same shards: Pillow in a torch DataLoader, and webdataset with torchvision.

Both run the reference's transforms on Pillow images, one crop after the other, in worker processes; the first finds
its pictures through our index as another would find files in folders.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from pipelines.config import Augmentation, CropGroup
from shards.tars.index import parse_index
from shards.tars.shardset import ShardSet

Crops = list[torch.Tensor]


class PillowBlur:
    """Gaussian blur of a random sigma with a probability."""

    def __init__(self, augment: Augmentation) -> None:
        """Take probability and range from `augment`."""
        self._augment = augment

    def __call__(self, image: Image.Image) -> Image.Image:
        """Blur or return as it is."""
        low, high = self._augment.min_sigma, self._augment.max_sigma
        if torch.rand(1).item() >= self._augment.blur:
            return image
        return image.filter(ImageFilter.GaussianBlur(low + (high - low) * torch.rand(1).item()))


class PillowCrops:
    """All crops of a Pillow image, as the reference makes them."""

    def __init__(self, crops: Sequence[CropGroup], augment: Augmentation) -> None:
        """One chain of transforms per crop."""
        self._chains = [_chain(group, augment) for group in crops for _ in range(group.num)]

    def __call__(self, image: Image.Image) -> Crops:
        """Float32 (3, size, size) per crop."""
        return [chain(image) for chain in self._chains]


def _chain(group: CropGroup, augment: Augmentation) -> Callable[[Image.Image], torch.Tensor]:
    jitter = transforms.ColorJitter(augment.brightness, augment.contrast, augment.saturation, augment.hue)
    chain: Callable[[Image.Image], torch.Tensor] = transforms.Compose(
        [
            transforms.RandomResizedCrop(group.size, scale=(group.min_scale, group.max_scale)),
            transforms.RandomHorizontalFlip(augment.flip),
            transforms.RandomApply([jitter], augment.jitter),
            transforms.RandomGrayscale(augment.gray),
            PillowBlur(augment),
            *([transforms.RandomSolarize(128, augment.solarize)] if augment.solarize else []),
            transforms.ToTensor(),
            transforms.Normalize(augment.mean, augment.std),
        ]
    )
    return chain


class TarPictures(Dataset[Crops]):
    """The pictures of a shard set by number, opened with Pillow."""

    def __init__(self, shards: ShardSet, make: PillowCrops) -> None:
        """Read all indices."""
        self._make = make
        self._places = [
            (shard.tar, next(member for member in sample if member.suffix != "cls"))
            for shard in shards.shards
            for sample in parse_index(shard.idx.read_bytes(), where=shard.idx)
        ]

    def __len__(self) -> int:
        """Pictures in all shards."""
        return len(self._places)

    def __getitem__(self, number: int) -> Crops:
        """The crops of one picture."""
        tar, member = self._places[number]
        with tar.open("rb") as file:
            file.seek(member.offset)
            return self._make(Image.open(io.BytesIO(file.read(member.size))).convert("RGB"))


class LoaderContestant:
    """A torch DataLoader run without end."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        """Start its workers."""
        self._iterator = _forever(loader)
        self._loader = loader

    def run(self) -> int:
        return len(next(self._iterator)[0])

    def workers(self) -> Sequence[int]:
        running: Any = self._loader._iterator
        return [worker.pid for worker in running._workers] if running is not None else []

    def close(self) -> None:
        self._iterator.close()
        self._loader._iterator = None


def _forever(loader: DataLoader[Any]) -> Any:
    for _ in itertools.count():
        yield from loader


def pillow_loader(shards: ShardSet, make: PillowCrops, *, batch_size: int, workers: int) -> LoaderContestant:
    """Pillow and torchvision over pictures found by number, shuffled."""
    dataset = TarPictures(shards, make)
    return LoaderContestant(_data_loader(dataset, batch_size, workers, shuffle=True))


def webdataset_loader(shards: ShardSet, make: PillowCrops, *, batch_size: int, workers: int) -> LoaderContestant:
    """Webdataset's own reading, shuffling and decoding to Pillow, with the same transforms."""
    import webdataset

    tars = [str(shard.tar) for shard in shards.shards]
    dataset = (
        webdataset.WebDataset(tars, resampled=True, shardshuffle=False)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg;jpeg;png;webp;bmp;tif;tiff")
        .map(partial(_crops_of_sample, make))
    )
    return LoaderContestant(_data_loader(dataset, batch_size, workers, shuffle=None))


def _crops_of_sample(make: PillowCrops, sample: tuple[Image.Image]) -> Crops:
    return make(sample[0].convert("RGB"))


def _data_loader(dataset: Any, batch_size: int, workers: int, *, shuffle: bool | None) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        shuffle=shuffle,
        drop_last=True,
        persistent_workers=True,
        worker_init_fn=_one_thread,
        multiprocessing_context="forkserver",  # forking DALI's threads would hang
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
