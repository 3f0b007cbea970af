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
    (b"II+\0", "tiff"),  # BigTIFF, as the next
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
)
_NETPBM = {b"P1": "pbm", b"P4": "pbm", b"P2": "pgm", b"P5": "pgm", b"P3": "ppm", b"P6": "ppm"}
_ALIASES = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff", "pnm": "ppm", "j2k": "jp2"}
_NOT_READ = (  # pictures and others that are met under a picture's name
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"<svg", "SVG"),
    (b"\0\0\1\0", "an icon"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
)
_HEIF_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"isom": "a film",
    b"mp42": "a film",
}


def true_suffix(content: bytes) -> str | None:
    """Lower-case suffix of the format that these bytes are in, or None when they are no known picture format."""
    for signature, suffix in _SIGNATURES:
        if content.startswith(signature):
            return suffix
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return _NETPBM.get(content[:2]) if content[2:3].isspace() or content[2:3] == b"#" else None


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
    if content[4:8] == b"ftyp":
        return f"{_HEIF_BRANDS.get(content[8:12], 'a film or picture container')}, which is not read here"
    if kind := next((kind for magic, kind in _NOT_READ if content.startswith(magic)), None):
        return f"{kind}, which is not read here"
    return f"bytes {content[:12]!r}"
