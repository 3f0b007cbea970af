"""Pictures made on the spot, class folder trees of them, and a build that needs no processes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shards.build import BuildOptions, build, plan_build
from shards.manifest import Manifest
from shards.sources.base import Source


class InlineExecutor(Executor):
    """Runs each task where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def inline_pool() -> Iterator[Executor]:
    yield InlineExecutor()


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


def build_inline(source: Source, out: Path, **options: Any) -> tuple[Manifest, bool]:
    """Build in this process."""
    return build(plan_build(source, BuildOptions(**options)), out, pool=inline_pool, num_in_flight=1)


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
