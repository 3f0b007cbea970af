"""Pictures as objects below a URL: class folders if every picture lies in one, otherwise without labels."""

from __future__ import annotations

from dataclasses import dataclass

from shards.errors import ShardError
from shards.remote.places import RemoteFolder
from shards.sources.folders import class_order, ignored, is_visible_picture
from shards.sources.listing import UNLABELLED, Listing, ListingBuilder, SampleRef


@dataclass(frozen=True, kw_only=True)
class RemoteReader:
    """Reads objects below a URL."""

    folder: RemoteFolder

    def read(self, sample: SampleRef) -> bytes:
        return self.folder.read(sample.name)


@dataclass(frozen=True, kw_only=True)
class RemotePictures:
    """The pictures below `url`."""

    url: str
    kind = "pictures at a URL"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"pictures at {self.url}"

    def scan(self) -> tuple[Listing, list[str]]:
        """Sorted by name; the first folder is the class."""
        found = RemoteFolder(url=self.url).find()
        files = {name: file for name, file in found.items() if is_visible_picture(name)}
        if not files:
            raise ShardError("no pictures", where=self.url)
        classes, warnings = self._classes(list(files))
        rank = {name: label for label, name in enumerate(classes)}
        builder = ListingBuilder()
        for name in sorted(files, key=lambda name: (rank.get(name.partition("/")[0], 0), name)):
            label = rank[name.partition("/")[0]] if classes else UNLABELLED
            builder.add(name, size=files[name].size, label=label, stamp=files[name].stamp)
        return builder.finish(tuple(classes)), warnings + ignored(len(found) - len(files))

    def reader(self) -> RemoteReader:
        return RemoteReader(folder=RemoteFolder(url=self.url))

    def _classes(self, names: list[str]) -> tuple[list[str], list[str]]:
        if any("/" not in name for name in names):
            return [], []
        return class_order(sorted({name.partition("/")[0] for name in names}))
