"""Pictures as objects below a URL: class folders if every picture lies in one, otherwise without labels."""

from __future__ import annotations

from dataclasses import dataclass

from shards.errors import ShardError
from shards.remote.store import Store, UrlStore
from shards.sources.folders import LAYOUT_FIX, class_order, ignored, is_visible_picture
from shards.sources.listing import UNLABELLED, Listing, ListingBuilder, SampleRef
from shards.sources.tar_splits import SPLIT_WORDS


@dataclass(frozen=True, kw_only=True)
class RemoteReader:
    """Reads objects below a URL."""

    store: Store

    def read(self, sample: SampleRef) -> bytes:
        return self.store.read(sample.name)


@dataclass(frozen=True, kw_only=True)
class RemotePictures:
    """The pictures below `url`. `layout` is "classes", "flat", or "auto" to go by where they lie."""

    url: str
    layout: str = "auto"
    kind = "pictures at a URL"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"pictures at {self.url}"

    def scan(self) -> tuple[Listing, list[str]]:
        """Sorted by name; the first folder is the class. Refuses folders that are hardly classes."""
        found = UrlStore(url=self.url).find()
        files = {name: file for name, file in found.items() if is_visible_picture(name)}
        if not files:
            raise ShardError("no pictures", where=self.url)
        classes, warnings = self._classes(list(files))
        warnings += ignored(len(found) - len(files))
        if classes and (num_beside := sum("/" not in name for name in files)):
            warnings.append(f"{num_beside:,} pictures beside the class folders are left out")
            files = {name: file for name, file in files.items() if "/" in name}
        rank = {name: label for label, name in enumerate(classes)}
        builder = ListingBuilder()
        for name in sorted(files, key=lambda name: (rank.get(name.partition("/")[0], 0), name)):
            label = rank[name.partition("/")[0]] if classes else UNLABELLED
            builder.add(name, size=files[name].size, label=label, stamp=files[name].stamp)
        return builder.finish(tuple(classes)), warnings

    def reader(self) -> RemoteReader:
        return RemoteReader(store=UrlStore(url=self.url))

    def _classes(self, names: list[str]) -> tuple[list[str], list[str]]:
        """The classes in label order, none without labels, and warnings. Raises as `scan` does."""
        folders = {name.partition("/")[0] for name in names if "/" in name}
        num_beside = sum("/" not in name for name in names)
        if self.layout == "flat" or not folders:
            return [], []
        if self.layout == "auto":
            if num_beside:
                found = f"{num_beside:,} beside {len(folders):,} folders"
                raise ShardError("pictures beside folders of pictures", where=self.url, found=found, fix=LAYOUT_FIX)
            if all(folder.lower() in SPLIT_WORDS for folder in folders):
                found, fix = " and ".join(sorted(folders)), "give the URL of each; --layout classes if they are classes"
                raise ShardError("splits rather than classes", where=self.url, found=found, fix=fix)
        return class_order(sorted(folders))
