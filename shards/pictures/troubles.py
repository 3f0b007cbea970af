"""The classes of trouble that a picture can have, from harmless to hopeless."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MOST_STRETCHED = 500
"""The longer side over the shorter. Evaluation resizes the shorter to 256 pixels, and the longer with it: at 500 that
is 100 MB a picture, and a line of 65,000 pixels would be 13 GB."""


class Trouble(StrEnum):
    """A class of trouble; its value is how commands, policies and errors.jsonl spell it."""

    UNREADABLE = "unreadable"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not-an-image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    UNUSUAL = "unusual"
    TOO_LARGE = "too-large"
    CMYK = "cmyk"
    SIXTEEN_BIT = "sixteen-bit"
    RARE_FORMAT = "rare-format"
    MISNAMED = "misnamed"
    ROTATED = "rotated"
    BAD_METADATA = "bad-metadata"
    DUPLICATE = "duplicate"


EXPLANATIONS: dict[Trouble, str] = {
    Trouble.UNREADABLE: "the source could not give its bytes",
    Trouble.EMPTY: "no bytes",
    Trouble.NOT_AN_IMAGE: "bytes of no picture format that is read here, such as a web page or an LFS pointer",
    Trouble.TRUNCATED: "ends before its last row",
    Trouble.CORRUPT: "damaged picture data, by libjpeg's strict reading; the fix keeps what Pillow sees, as PNG",
    Trouble.UNSUPPORTED: "a kind of JPEG that DALI cannot decode: 12-bit, hierarchical; the fix is Pillow's, as PNG",
    Trouble.UNUSUAL: "sound, but not for DALI: animation, EXIF in WebP, junk in headers; the fix cuts it or writes PNG",
    Trouble.TOO_LARGE: f"more pixels than --max-pixels, or a side more than {MOST_STRETCHED} times the other",
    Trouble.CMYK: "four ink colours; the fix converts to RGB and encodes again",
    Trouble.SIXTEEN_BIT: "more than 8 bits per channel; the fix writes an 8-bit PNG",
    Trouble.RARE_FORMAT: "GIF, BMP, TIFF, PPM, JPEG 2000, AVIF; the fix writes a PNG without loss, of the first frame",
    Trouble.MISNAMED: "PNG or WebP under another name; the fix stores the same bytes under the true suffix",
    Trouble.ROTATED: "an EXIF orientation that some loaders apply and others do not",
    Trouble.BAD_METADATA: "a damaged colour profile; the fix cuts it out without touching the pixels",
    Trouble.DUPLICATE: "the same bytes as an earlier picture",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One trouble of one picture; `detail` is what a person needs to see it."""

    trouble: Trouble
    detail: str = ""
