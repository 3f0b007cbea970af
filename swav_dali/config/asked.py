"""What `train.py plan` is told beside a run's options: how many pictures, classes and ranks, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shards.tars.manifest import MANIFEST_NAME, parse_manifest
from swav_dali.config.recipes import Recipe
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError

_FLAGS = {"--images": int, "--classes": int, "--ranks": int, "--images-per-second": float}
OPTIONS = """\
  --images N              pictures of the training set; without it those of the shards of --data.train are counted
  --classes N             kinds of things on them, for the rule about prototypes
  --ranks N               processes; without it those that the recipe is meant for
  --images-per-second X   speed over all ranks, for the hours"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a forecast needs beside the configuration.

    Attributes:
        num_ranks: processes.
        images: pictures of the training set.
        pictures: where that number is from, in words.
        classes: of the pictures, None for unknown.
        images_per_second: speed over all ranks, None for unknown.
    """

    num_ranks: int
    images: int
    pictures: str
    classes: int | None
    images_per_second: float | None


def take_flags(words: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """The numbers of a plan's own flags, and the other words; raises ConfigError for what is no number above 0."""
    found: dict[str, float] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        flag, equals, value = left.pop(0).partition("=")
        if flag not in _FLAGS:
            rest.append(flag + equals + value)
            continue
        word = value if equals else left.pop(0) if left else ""
        found[flag] = _number(flag, word)
    return found, rest


def what_is_asked(config: RunConfig, recipe: Recipe, flags: dict[str, float]) -> Asked:
    """The flags, and for those not given what the shards say, else what the recipe was made for.

    Raises:
        ConfigError: nobody knows how many pictures there are.
        ShardError: a manifest that cannot be read.
    """
    images, classes, pictures = _pictures(config, recipe, flags)
    return Asked(
        num_ranks=int(flags.get("--ranks", recipe.ranks)),
        images=images,
        pictures=pictures,
        classes=int(flags["--classes"]) if "--classes" in flags else classes,
        images_per_second=flags.get("--images-per-second"),
    )


def _pictures(config: RunConfig, recipe: Recipe, flags: dict[str, float]) -> tuple[int, int | None, str]:
    """How many, of how many classes, and who says so."""
    manifest = config.data.train / MANIFEST_NAME
    if "--images" in flags:
        return int(flags["--images"]), None, "--images"
    if config.data.synthetic_images:
        return config.data.synthetic_images, None, "--data.synthetic-images"
    if manifest.is_file():
        shards = parse_manifest(manifest.read_bytes(), where=manifest)
        return shards.num_samples, len(shards.classes) or None, str(config.data.train)
    if recipe.made_for is not None:
        name, images, classes = recipe.made_for
        return images, classes, f"{name}; there are no shards at {config.data.train}"
    raise ConfigError(
        "how many pictures?", where="train.py plan", found=f"no shards at {config.data.train}", fix="give --images N"
    )


def _number(flag: str, word: str) -> float:
    try:
        number = _FLAGS[flag](word)
    except ValueError:
        number = 0
    if not number > 0:
        kind = "a whole number above 0" if _FLAGS[flag] is int else "a number above 0"
        raise ConfigError("cannot be read", where=flag, found=word or "no value", expected=kind)
    return float(number)
