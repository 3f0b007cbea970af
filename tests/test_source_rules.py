"""Rules of the house that no linter states: docstrings on everything public, size of functions and files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    ROOT / "train.py",
    *(path for name in ("shards", "pipelines", "swav_dali") for path in (ROOT / name).rglob("*.py")),
]
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 300

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def is_protocol(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)


def members(node: ast.ClassDef) -> set[str]:
    """Names of its methods, properties and attributes."""
    targets = [t for n in node.body for t in (n.targets if isinstance(n, ast.Assign) else [getattr(n, "target", None)])]
    names = {t.id for t in targets if isinstance(t, ast.Name)}
    return names | {n.name for n in node.body if isinstance(n, Function)}


def promises() -> list[set[str]]:
    """The members of every protocol of the house. What they mean is said there, and not again where they are kept."""
    nodes = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return [members(node) for node in nodes if isinstance(node, ast.ClassDef) and is_protocol(node)]


PROMISES = promises()


def public_without_docstring(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield node.name
            if isinstance(node, ast.ClassDef) and not is_protocol(node):
                yield from methods_without_docstring(node)


def methods_without_docstring(node: ast.ClassDef) -> Iterator[str]:
    said = {name for promise in PROMISES if promise <= members(node) for name in promise}
    for method in node.body:
        is_public = isinstance(method, Function) and not method.name.startswith("_")
        if is_public and ast.get_docstring(method) is None and method.name not in said:
            yield f"{node.name}.{method.name}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_the_module_and_everything_public_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "module docstring"
    assert list(public_without_docstring(tree)) == []


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_functions_and_files_fit_a_screen_or_two(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    long = {f.name: n for f in functions(ast.parse(text)) if (n := f.end_lineno - f.lineno + 1) > MAX_FUNCTION_LINES}  # type: ignore[operator]
    assert long == {}
    assert len(text.splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("package", ["shards", "pipelines", "swav_dali"])
def test_package_files_import_nothing_heavy_so_that_help_is_quick(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    imported = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [node.module for node in imported if isinstance(node, ast.ImportFrom)] in ([], ["typing"])
    assert all(isinstance(node, ast.ImportFrom) for node in imported)
