"""Where a build's splits go: a folder here, or a URL. The build command knows only what both can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shards.building.build import build
from shards.building.job import Job
from shards.building.judge import Event
from shards.building.report import ERRORS_NAME, parse_errors, read_errors
from shards.building.url_build import build_at_url, scratch_folder
from shards.building.workers import Crew
from shards.errors import ShardError
from shards.remote.places import RemoteFolder, is_url
from shards.tars.manifest import Manifest
from shards.tars.other_indices import format_indices, write_indices


class Destination(Protocol):
    """Takes the splits of one build; a set without a split is called ""."""

    def place(self, split: str) -> str:
        """Where a split is, for a person."""
        ...

    def build(self, split: str, job: Job, crew: Crew) -> tuple[Manifest, bool]:
        """Write a split; see `shards.building.build.build`."""
        ...

    def events(self, split: str) -> list[Event]:
        """What happened to its pictures."""
        ...

    def write_indices(self, splits: dict[str, Manifest]) -> None:
        """Write the indices of other readers; see `shards.tars.other_indices`."""
        ...


@dataclass(frozen=True, kw_only=True)
class FolderDestination:
    """A folder; a split is a folder in it."""

    root: Path

    def place(self, split: str) -> str:
        """See `Destination`."""
        return str(self.root / split)

    def build(self, split: str, job: Job, crew: Crew) -> tuple[Manifest, bool]:
        """See `Destination`."""
        return build(job, self.root / split, crew)

    def events(self, split: str) -> list[Event]:
        """See `Destination`."""
        return read_errors(self.root / split)

    def write_indices(self, splits: dict[str, Manifest]) -> None:
        """See `Destination`."""
        write_indices(self.root, splits)


@dataclass(frozen=True, kw_only=True)
class UrlDestination:
    """A URL; shards lie below `scratch` while they are written, or where `scratch_folder` says."""

    url: str
    scratch: Path | None = None

    def place(self, split: str) -> str:
        """See `Destination`."""
        return f"{self.url}/{split}" if split else self.url

    def build(self, split: str, job: Job, crew: Crew) -> tuple[Manifest, bool]:
        """See `Destination`."""
        url = self.place(split)
        return build_at_url(job, RemoteFolder(url=url), scratch_folder(self.scratch, url), crew)

    def events(self, split: str) -> list[Event]:
        """See `Destination`."""
        target = RemoteFolder(url=self.place(split))
        return parse_errors(target.read_from(ERRORS_NAME, 0)) if target.look(ERRORS_NAME) else []

    def write_indices(self, splits: dict[str, Manifest]) -> None:
        """See `Destination`."""
        target = RemoteFolder(url=self.url)
        for name, content in format_indices(splits):
            target.write(name, content)


def destination(place: str, *, scratch: Path | None = None) -> Destination:
    """The folder or URL. Raises `ShardError` for scratch space that a folder has no use for."""
    if is_url(place):
        return UrlDestination(url=place.rstrip("/"), scratch=scratch)
    if scratch is not None:
        raise ShardError("only a build at a URL needs scratch space", where="--scratch", found=f"OUT is {place}")
    return FolderDestination(root=Path(place))
