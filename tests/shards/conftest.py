"""Pictures made on the spot, class folder trees of them, and a build that needs no processes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shards.building.build import build
from shards.building.crew import Crew
from shards.building.job import BuildOptions, plan_build
from shards.building.plan import DEFAULT_SHARD_MIB, Cut
from shards.remote.store import store_at
from shards.sources.base import Source
from shards.tars.manifest import Manifest
from shards.tars.shardset import load_shard_set


class InlineExecutor(Executor):
    """Runs each task where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


INLINE = Crew(executor=InlineExecutor(), num_in_flight=1)


def picture(
    seed: int, *, size: tuple[int, int] = (24, 16), kind: str = "JPEG", mode: str = "RGB", **save: Any
) -> bytes:
    """Encoded noise; the same arguments give the same bytes."""
    channels = {"RGB": 3, "L": 1, "CMYK": 4, "RGBA": 4}[mode]
    noise = np.random.default_rng(seed).integers(0, 256, size=(size[1], size[0], channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise.squeeze(), mode=None).convert(mode).save(buffer, kind, **save)
    return buffer.getvalue()


def write_tree(root: Path, counts: dict[str, int], *, first_seed: int = 0) -> Path:
    """A folder tree with so many JPEGs per folder."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            content = picture(first_seed + 1000 * label + number)
            (root / name / f"{Path(name).name}_{number}.JPEG").write_bytes(content)
    return root


def build_inline(
    source: Source, out: Path, *, shard_mib: float = DEFAULT_SHARD_MIB, **options: Any
) -> tuple[Manifest, bool]:
    """Build in this process."""
    options = {"cut": Cut(shard_mib=shard_mib), **options}
    return build(plan_build(source, BuildOptions(**options)), store_at(out), INLINE)


def all_files(root: Path) -> dict[str, bytes]:
    """Relative name and content of every file below, without the empty lock file."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes with 7, 5 and 9 pictures."""
    return write_tree(tmp_path / "tree", {"cat": 7, "ant": 5, "bee": 9})


@pytest.fixture
def make_picture() -> Callable[..., bytes]:
    """See `picture`."""
    return picture


@pytest.fixture
def make_tree() -> Callable[..., Path]:
    """See `write_tree`."""
    return write_tree


@pytest.fixture
def run_build() -> Callable[..., tuple[Manifest, bool]]:
    """See `build_inline`."""
    return build_inline


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """See `all_files`."""
    return all_files


def find_data(name: str) -> Path:
    """A folder of the shared test pictures, or a skip that says what is missing."""
    base = Path(os.environ.get("SWAV_DALI_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (base / name).is_dir():
        pytest.skip(f"no real pictures: {name} is not in ../shared/data nor in $SWAV_DALI_DATA")
    return base / name


@pytest.fixture
def awkward() -> Path:
    """The collection of odd and damaged pictures."""
    return find_data("awkward")


@pytest.fixture
def imagenet_samples() -> Path:
    """A thousand ImageNet pictures, one per class, in one folder."""
    return find_data("imagenet-samples")


def dali_epoch(out: Path) -> list[tuple[str, tuple[int, ...]]]:
    """(key, decoded shape) of every sample of a shard set, read and decoded by DALI."""
    from nvidia.dali import fn, pipeline_def

    shard_set = load_shard_set(out)

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def graph() -> Any:
        picture = fn.readers.webdataset(
            paths=[str(s.tar) for s in shard_set.shards],
            index_paths=[str(s.idx) for s in shard_set.shards],
            ext=["jpg;png;webp"],
            missing_component_behavior="error",
        )
        return fn.decoders.image(picture, adjust_orientation=False), fn.get_property(picture, key="source_info")

    pipe = graph()
    pipe.build()
    seen = []
    for _ in range(shard_set.num_samples):
        image, source = pipe.run()
        seen.append((bytes(source.at(0)).decode().rsplit(":", 1)[1].split(".")[0], tuple(image.at(0).shape)))
    return seen


@pytest.fixture
def decode_with_dali() -> Callable[[Path], list[tuple[str, tuple[int, ...]]]]:
    """See `dali_epoch`."""
    return dali_epoch


@pytest.fixture
def inline_crew() -> Crew:
    """Does the work in this process."""
    return INLINE


@pytest.fixture
def executor() -> Executor:
    """Runs tasks in this process."""
    return InlineExecutor()
