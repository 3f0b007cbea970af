"""Nothing from outside is executed or becomes a path: no pickle, no unpacking; dependencies have a reason."""

from __future__ import annotations

import ast
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import dependencies
import pytest
import training
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCES = [
    ROOT / "train.py",
    *(path for name in ("shards", "pipelines", "swav_dali") for path in (ROOT / name).rglob("*.py")),
]
FORBIDDEN = {
    "eval": "executes text",
    "exec": "executes text",
    "extract": "members of archives become paths",
    "extractall": "members of archives become paths",
    "unpack_archive": "members of archives become paths",
    "broadcast_object_list": "pickles",
    "all_gather_object": "pickles",
    "gather_object": "pickles",
    "scatter_object_list": "pickles",
    "Unpickler": "pickles",
    "read_pickle": "pickles",
}


def calls() -> Iterator[tuple[str, ast.Call, str, str]]:
    """(place, node, module or object, name) of every call in the product."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                function = node.func
                owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
                name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, owner, name


def test_no_call_executes_or_unpacks_what_comes_from_outside() -> None:
    bad = [
        f"{place}: {owner}.{name} {FORBIDDEN[name]}"
        for place, node, owner, name in calls()
        if name in FORBIDDEN
        and not (name == "eval" and owner and not node.args)  # of a network
        and not (name == "extract" and not owner)  # features
    ]
    assert bad == []


def test_every_load_of_tensors_takes_weights_only() -> None:
    loads = [(place, node) for place, node, owner, name in calls() if (owner, name) == ("torch", "load")]
    assert loads
    keywords = {place: {word.arg: ast.unparse(word.value) for word in node.keywords} for place, node in loads}
    assert {place: words.get("weights_only") for place, words in keywords.items()} == dict.fromkeys(keywords, "True")


def test_no_array_is_unpickled_and_no_pickle_is_read() -> None:
    bad = [
        place
        for place, node, owner, name in calls()
        if any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords)
        or (owner == "pickle" and name in ("load", "loads"))
    ]
    assert bad == []


@pytest.mark.parametrize("name", ["../../evil.jpg", "/tmp/evil-drill.jpg", "a/../../../evil.jpg"])
def test_names_inside_an_archive_never_leave_the_output_folder(tmp_path: Path, name: str) -> None:
    picture = BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(picture, "JPEG")
    source = tmp_path / "deep" / "er" / "source"
    source.mkdir(parents=True)
    with tarfile.open(source / "a.tar", "w") as tar:
        for member in (name, "fine/0001.jpg"):
            info = tarfile.TarInfo(member)
            info.size = len(picture.getvalue())
            tar.addfile(info, BytesIO(picture.getvalue()))
    before = set(tmp_path.rglob("*"))
    out = tmp_path / "deep" / "er" / "out"
    training.subprocess.run(
        [training.sys.executable, "-m", "shards", "build", str(source), str(out)],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    strays = [path for path in set(tmp_path.rglob("*")) - before if out not in (path, *path.parents)]
    assert strays == []
    assert not Path("/tmp/evil-drill.jpg").exists()


def test_every_dependency_has_a_reason_and_is_in_the_page() -> None:
    names = {name for group in dependencies.declared().values() for name in group}
    assert names <= dependencies.REASONS.keys()
    assert dependencies.REASONS.keys() <= names
    page = dependencies.PAGE.read_text()
    assert [name for name in sorted(names) if f"| {name} |" not in page] == []
