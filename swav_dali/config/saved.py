"""A configuration as it is saved, and how a saved one compares with today's.

Saved is one level of dotted keys. Every key answers by the tag on its field whether it may differ when a run goes on.
A key that a checkpoint does not know means the value its version behaved with; a value that it left open (`auto`)
agrees with whatever is chosen now, because the loader's own state tells what it was.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

from pipelines.config import CropGroup
from pipelines.tags import OnResume, Tagged, flat_values, tagged_options
from swav_dali.config.sections import RunConfig

Flat = dict[str, Any]
_UNSAVED = ("resume",)
"""What this start was asked to do, not what the run is."""


def flatten(config: RunConfig) -> Flat:
    """The configuration as one level of dotted keys and JSON values."""
    return {key: value for key, value in flat_values(config).items() if key not in _UNSAVED}


def differences(saved: Flat, present: Flat, *, world_changed: bool) -> list[str]:
    """`--flag old -> new` of every option that keeps a run from going on.

    Args:
        saved: flattened configuration of the checkpoint, of this version or an earlier one.
        present: flattened configuration of this start, resolved.
        world_changed: with another number of ranks, what is counted per rank may change too.
    """
    theirs = in_words_of_today(saved, present)
    unknown = [f"{flag(key)} {theirs[key]} -> not known here" for key in _unknown(theirs)]
    return unknown + [f"{flag(key)} {theirs[key]} -> {present[key]}" for key in _kept(theirs, present, world_changed)]


def way_back(saved: Flat, present: Flat, *, world_changed: bool) -> str:
    """The options, as written on a command line, with which `present` is the saved run; empty if none can say it.

    The length is among them where it differs: an option that may change is told with those that may not.
    """
    theirs = in_words_of_today(saved, present)
    if _unknown(theirs):
        return ""
    options = tagged_options(RunConfig)
    grown = [key for key in present if options[key].on_resume is OnResume.MAY_GROW and theirs[key] != present[key]]
    return " ".join(
        _written(key, theirs[key]) for key in dict.fromkeys([*_kept(theirs, present, world_changed), *grown])
    )


def in_words_of_today(saved: Flat, present: Flat) -> Flat:
    """A saved configuration with today's keys: those it lacks have the value that its version behaved with."""
    today = _with_what_makes_crops(_with_crops_as_a_word(saved), present)
    known = {key: value for key, value in today.items() if key not in _UNSAVED}
    before = {key: option.before for key, option in tagged_options(RunConfig).items() if key not in _UNSAVED}
    return {**before, **known}


def flag(key: str) -> str:
    """The option that sets a key."""
    return "--" + key.replace("_", "-")


def _unknown(theirs: Flat) -> list[str]:
    """Saved by a later version, or one that has since given the option up."""
    return [key for key in theirs if key not in tagged_options(RunConfig)]


def _kept(theirs: Flat, present: Flat, world_changed: bool) -> list[str]:
    """What differs and may not."""
    options = tagged_options(RunConfig)
    return [key for key in present if not _may_follow(options[key], theirs[key], present[key], world_changed)]


def _written(key: str, value: Any) -> str:
    if isinstance(value, bool):
        section, dot, name = flag(key).removeprefix("--").rpartition(".")
        return f"--{section}{dot}{'' if value else 'no-'}{name}"
    words = value if isinstance(value, list) else ["none" if value is None else value]
    return " ".join([flag(key), *(shlex.quote(str(word)) for word in words)])


def _may_follow(option: Tagged, old: Any, new: Any, world_changed: bool) -> bool:
    rules: dict[OnResume, Callable[[], bool]] = {
        OnResume.ALWAYS: lambda: True,
        OnResume.PER_RANK: lambda: world_changed,
        OnResume.MAY_GROW: lambda: bool(new > old),
        OnResume.NEVER: lambda: False,
    }
    return old in (new, "auto") or rules[option.on_resume]()


def _with_what_makes_crops(saved: Flat, present: Flat) -> Flat:
    """Quality and device said it, and the device was often left open: `exact` is what makes exact crops here."""
    if "data.quality" not in saved:
        return saved
    here = present["data.crops_by"]
    crops_by = "dali" if saved["data.quality"] == "fast" else "cpu" if here == "dali" else here
    return {**{key: value for key, value in saved.items() if key != "data.quality"}, "data.crops_by": crops_by}


def _with_crops_as_a_word(saved: Flat) -> Flat:
    """Crop groups were saved field by field, `data.crops.0.size`; distortions of single groups were never used."""
    groups: dict[int, Flat] = {}
    rest: Flat = {}
    for key, value in saved.items():
        match = re.fullmatch(r"data\.crops\.(\d+)\.(.+)", key)
        if match:
            groups.setdefault(int(match[1]), {})[match[2]] = value
        else:
            rest[key] = value
    return {**rest, "data.crops": "+".join(map(_word, groups.values()))} if groups else rest


def _word(group: Flat) -> str:
    changed = {key: value for key, value in group.items() if key.startswith("changes.") and value is not None}
    sizes = CropGroup(**{key: group[key] for key in ("num", "size", "min_scale", "max_scale")})
    return f"{sizes}{changed or ''}"
