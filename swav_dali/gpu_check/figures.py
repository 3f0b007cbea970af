"""The figures in order of value, each with its time limit: what is lost when the machine goes away is the least.

Only names here, so that the list is at hand without torch; `function` is called with a Setting and the
keywords.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_HERE = "swav_dali.gpu_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One entry of the JSON.

    Attributes:
        name: its key.
        function: what makes it, as `module:name`.
        limit: seconds after which it is given up.
        keywords: of the function.
    """

    name: str
    function: str
    limit: float
    keywords: dict[str, Any] = field(default_factory=dict)


def _training(batch: str) -> list[Figure]:
    chosen = (("synthetic input", None), ("crops by gpu", "gpu"), ("crops by cpu", "cpu"), ("crops by dali", "dali"))
    return [
        Figure(
            name=f"training, {batch} batch, {words}",
            function=f"{_HERE}.training:trained",
            limit=60,
            keywords={"batch": batch, "crops_by": crops_by},
        )
        for words, crops_by in chosen
    ]


FIGURES: tuple[Figure, ...] = (
    Figure(name="machine", function=f"{_HERE}.machine:machine", limit=90),
    Figure(name="pictures", function=f"{_HERE}.photos:made", limit=120),
    Figure(name="first batches, kernels compiled", function=f"{_HERE}.loading:first_batches", limit=150),
    Figure(name="parity with the CPU, levels", function=f"{_HERE}.loading:parity", limit=90),
    Figure(name="same batch twice, and after resume", function=f"{_HERE}.loading:repeated", limit=90),
    *_training("big"),
    Figure(name="crops alone", function=f"{_HERE}.loading:crops_alone", limit=40),
    *(
        Figure(
            name=f"loader alone, crops by {by}", function=f"{_HERE}.loading:alone", limit=40, keywords={"crops_by": by}
        )
        for by in ("gpu", "cpu", "dali")
    ),
    *(
        Figure(
            name=f"decoding alone, engine load {load}",
            function=f"{_HERE}.loading:decoding",
            limit=30,
            keywords={"load": load},
        )
        for load in (0.65, 0.0, 1.0)
    ),
    Figure(name="parts of a step, ms", function=f"{_HERE}.parts:parts", limit=60),
    *_training("small"),
    *_training("huge"),
    *(
        Figure(name=f"damaged JPEG, {kind}", function=f"{_HERE}.damaged:damaged", limit=60, keywords={"kind": kind})
        for kind in ("cut in half", "zeros in the scan", "flipped bits", "no end", "wrong Huffman table")
    ),
    Figure(name="trainer killed and resumed", function=f"{_HERE}.runs:killed_and_resumed", limit=180),
    Figure(name="six deterministic steps twice", function=f"{_HERE}.training:deterministic", limit=60),
    Figure(name="trunk eager and compiled, ms", function=f"{_HERE}.trunk:compiled", limit=240),
    Figure(name="BatchNorm and SyncBatchNorm, ms", function=f"{_HERE}.trunk:batch_norms", limit=60),
    Figure(name="ways to train", function=f"{_HERE}.ways:ways", limit=180),
    Figure(name="stop for a checkpoint", function=f"{_HERE}.ways:saving", limit=60),
    Figure(name="gpu tests", function=f"{_HERE}.runs:gpu_tests", limit=300),
)
