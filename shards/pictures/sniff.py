"""Picture formats told apart by their first bytes; file names are not trusted."""

from __future__ import annotations

_SIGNATURES = (
    (b"\xff\xd8", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"P5", "pgm"),
    (b"P6", "ppm"),
)
_ALIASES = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff", "pnm": "ppm"}


def true_suffix(content: bytes) -> str | None:
    """Lower-case suffix of the format that these bytes are in, or None when they are no known picture format."""
    for signature, suffix in _SIGNATURES:
        if content.startswith(signature):
            return suffix
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return None


def named_suffix(name: str) -> str:
    """The suffix that a file name claims, as `true_suffix` would spell it; empty without a dot."""
    suffix = name.rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""
    return _ALIASES.get(suffix, suffix)


def describe_bytes(content: bytes) -> str:
    """What bytes that are no picture look like, for a person."""
    start = content[:64].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: the file itself was not downloaded"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page or XML"
    return f"bytes {content[:12]!r}"
