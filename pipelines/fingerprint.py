"""What a saved data position belongs to: shards, ranks, crops, options and DALI, key by key.

Continuing anywhere else would hand out other pictures or other bits, so every difference is named. States of earlier
versions, which kept each section as one text, are read as if they had been saved today.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import Any

from pipelines.config import Augmentation, CropGroup, LoaderOptions, crops_by_of_quality
from pipelines.errors import LoaderStateError
from pipelines.recipes import Crops, crops_text
from pipelines.tags import OnResume, flat_values, tagged_options

Fingerprint = dict[str, Any]


def settings_of(crops: Crops, augment: Augmentation, options: LoaderOptions) -> Fingerprint:
    """What of the crops, the distortions and the loader's options decides the bits of a batch."""
    fixed = {key: value for key, value in flat_values(options).items() if key in _fixed_options()}
    return {"crops": crops_text(crops), **_keyed("augment", flat_values(augment)), **_keyed("options", fixed)}


def refuse_other(theirs: Fingerprint, ours: Fingerprint, *, free: Collection[str] = ()) -> None:
    """Raise LoaderStateError naming every key, saved and present value, that differs.

    Args:
        theirs: of the saved state, of this version or an earlier one. A key that it does not know means what its
            version behaved with.
        ours: of the loader that is to continue.
        free: keys that may differ.
    """
    saved = {**_before(), **_in_words_of_today(theirs)}
    keys = sorted(ours.keys() | saved.keys())
    differing = [key for key in keys if key not in free and saved.get(key) != ours.get(key)]
    if differing:
        whose = "other shards" if differing == ["shards"] else "another pipeline"
        raise LoaderStateError(
            f"the saved data position belongs to {whose}",
            where="loader state",
            found="; ".join(f"{key} {_short(saved.get(key))} -> {_short(ours.get(key))}" for key in differing),
            fix="restore the old setting, or start another run with --name",
        )


def _short(value: object) -> str:
    """A value for a person: of a checksum its first digits."""
    text = str(value)
    return text if len(text) != 64 else f"{text[:12]}..."


def _before() -> Fingerprint:
    augment = {key: option.before for key, option in tagged_options(Augmentation).items()}
    return {**_keyed("augment", augment), **_keyed("options", _fixed_options())}


def _fixed_options() -> Fingerprint:
    options = tagged_options(LoaderOptions)
    return {key: option.before for key, option in options.items() if option.on_resume is not OnResume.ALWAYS}


def _keyed(section: str, values: Mapping[str, Any]) -> Fingerprint:
    return {f"{section}.{key}": value for key, value in values.items()}


def _in_words_of_today(saved: Fingerprint) -> Fingerprint:
    """The sections that were saved as Python's `repr` of them, taken apart; and what made the crops."""
    if "quality" in saved:
        by = crops_by_of_quality(saved["quality"], on_cuda=saved["device"] == "gpu")
        saved = {**{key: value for key, value in saved.items() if key != "quality"}, "crops_by": by}
    if "options" not in saved:
        return saved
    rest = {key: value for key, value in saved.items() if key not in ("crops", "augment", "options")}
    groups = tuple(CropGroup(**{key: group[key] for key in _GROUP}) for group in _parse(saved["crops"]))
    sections = {**_keyed("augment", _parse(saved["augment"])), **_keyed("options", _parse(saved["options"]))}
    return {**rest, "crops": crops_text(groups), **sections}


_GROUP = ("num", "size", "min_scale", "max_scale")


def _parse(text: str) -> Any:
    return _value(ast.parse(text, mode="eval").body)


def _value(node: ast.expr) -> Any:
    """A `repr` of numbers, words, tuples, dicts and dataclasses; the fields of a dataclass are a dict."""
    if isinstance(node, ast.Call):
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Tuple):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)
