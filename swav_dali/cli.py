"""argv to RunConfig to train: the command line of train.py.

Mistakes are answered before torch and DALI are imported, which takes ten seconds: options, then paths.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import io
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import tyro

from shards.errors import UserError
from swav_dali.config.asked import OPTIONS, take_flags, what_is_asked
from swav_dali.config.length import follow_epochs, notes_on_length
from swav_dali.config.options import Option, help_text, known_flags
from swav_dali.config.paths import look_at_paths
from swav_dali.config.presets import find_recipe, load_preset, preset_lines
from swav_dali.config.recipe_lists import recipe_list
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError, Stopped, stop_behind

_USAGE = """Pretrain with SwAV.

usage: python train.py [PRESET] [--section.option VALUE ...]
       python train.py recipes                            every preset with its published accuracy and source
       python train.py plan PRESET [--images N] [...]     steps, hours, memory and disk of a run, and its risks

presets (none is `demo`):
  {presets}

examples:
  python train.py
  python train.py demo --optim.epochs 5 --name short
  python train.py imagenet_256 --data.train shards/train --data.validation shards/validation
  torchrun --nproc-per-node 8 train.py imagenet_4096 --data.batch-size 512
  python train.py demo --help          the options a run is made of, and their values in that preset
  python train.py demo --help-all      those of experts too, and which of them may change on resume

exit codes: 0 trained or already complete, 2 a mistake or a run that cannot go on (one line says which), 75 left when
  asked by SIGTERM or SIGUSR1 and ready to be continued, 130 interrupted
"""


def main() -> int:
    """Train as `sys.argv` says; the exit code of train.py."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help"):
        print(_USAGE.format(presets="\n  ".join(preset_lines())))
        return 0
    if arguments and arguments[0] in ("recipes", "plan"):
        _say(recipe_list() if arguments[0] == "recipes" else _plan(arguments[1:]))
        return 0
    if asked := {"-h", "--help", "--help-all"} & set(arguments):
        name, _ = _split(arguments)
        print(f"usage: python train.py {name} [--section.option VALUE ...]")
        print(help_text(load_preset(name), for_experts="--help-all" in asked))
        return 0
    config, given = parse(arguments), given_keys(arguments)
    config, notes = look_at_paths(config, given)
    preset = load_preset(_split(arguments)[0])
    notes += notes_on_length(preset, follow_epochs(preset, config.optim.epochs, given))
    if config.log.console and _is_first_rank():
        _say(f"run {config.folder}: starting torch and DALI")
    try:
        with _leaving_while_importing():
            from swav_dali.run.trainer import train

            train(config, given=given, notes=notes)
    except Exception as error:
        stop = stop_behind(error)
        if stop is None:
            raise
        print(stop, file=sys.stderr)
        gc.freeze()  # all is closed; DALI would look through every object once more, for a second
        return Stopped.EXIT_CODE
    return 0


def _plan(arguments: Sequence[str]) -> str:
    """What a run would be; raises UserError for what it could not be."""
    if not arguments or {"-h", "--help"} & set(arguments):
        return f"usage: python train.py plan PRESET [--section.option VALUE ...]\n\n{OPTIONS}"
    flags, words = take_flags(arguments)
    config = parse(words)
    asked = what_is_asked(config, find_recipe(_split(words)[0]), flags)
    from swav_dali.run.forecast import forecast

    return forecast(config, asked, given=given_keys(words))


def _say(text: str) -> None:
    """Print a line; if no one reads standard output any more, nothing is written there from now on."""
    try:
        print(text, flush=True)
    except OSError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)


@contextlib.contextmanager
def _leaving_while_importing() -> Iterator[None]:
    """SIGTERM and SIGUSR1 are answered with a line from the first second; `train` takes over once it runs."""

    def leave(number: int, _frame: object) -> NoReturn:
        raise Stopped(f"{signal.Signals(number).name} before the first step: nothing to save")

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, leave)
    try:
        yield
    except Exception:
        for number in (signal.SIGTERM, signal.SIGUSR1):  # torchrun sends one more on its way out
            signal.signal(number, signal.SIG_IGN)
        raise


def parse(arguments: Sequence[str]) -> RunConfig:
    """The configuration that a command line names; raises ConfigError or PipelineError, always in one line."""
    name, options = _split(arguments)
    preset = load_preset(name)
    _refuse_unknown_flags(name, options)
    preset = follow_epochs(preset, _epochs(options), given_keys(options))
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(RunConfig, default=preset, args=options, prog=f"train.py {name}", add_help=False)
    except SystemExit as stop:
        raise _complaint(stop, complaint.getvalue(), options, fix=f"run python train.py {name} --help") from None


def given_keys(arguments: Sequence[str]) -> frozenset[str]:
    """The dotted keys of the options that a command line sets itself, so that nothing else may choose their value."""
    flags = known_flags()
    return frozenset(flags[word].key for word, _ in _flags_in(arguments) if word in flags)


def _is_first_rank() -> bool:
    """Before torch, which swav_dali.ranks.world needs to tell the whole of it: whether this rank may speak."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    has_preset = bool(arguments) and not arguments[0].startswith("-")
    return (arguments[0], list(arguments[1:])) if has_preset else ("demo", list(arguments))


def _flags_in(arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Every flag, in dashes, and the words up to the next one."""
    at = [index for index, word in enumerate(arguments) if word.startswith("--")]
    for begin, end in itertools.pairwise([*at, len(arguments)]):
        flag, equals, value = arguments[begin].partition("=")
        yield flag.replace("_", "-"), [*([value] if equals else []), *arguments[begin + 1 : end]]


def _refuse_unknown_flags(name: str, options: Sequence[str]) -> None:
    flags = known_flags()
    for flag, _ in _flags_in(options):
        if flag not in flags:
            near = difflib.get_close_matches(flag, flags, n=1) or [
                known for known in flags if known.endswith(f".{flag.removeprefix('--')}")
            ]
            fix = f"did you mean {near[0]}?" if near else f"python train.py {name} --help-all lists all of them"
            raise ConfigError("no such option", where="train.py", found=flag, fix=fix)


def _epochs(options: Sequence[str]) -> int | None:
    """The length asked for, if it is a number; what is none is refused where it is read."""
    words = [words for flag, words in _flags_in(options) if flag == "--optim.epochs"]
    return int(words[-1][0]) if words and words[-1] and words[-1][0].isdecimal() else None


def _complaint(stop: SystemExit, said: str, options: Sequence[str], *, fix: str) -> UserError:
    """One line for what was not accepted: our own error where it is one, else what tyro says about which option."""
    error: BaseException | None = stop
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__context__
    text = _plain(said)
    flags = known_flags()
    for flag, words in _flags_in(options):
        if flag in flags and re.search(rf"{re.escape(flag)}(?![\w.-])", text):
            return ConfigError(
                "cannot be read",
                where=flag,
                found=" ".join(words) or "no value",
                expected=_expected(flags[flag]),
                fix=fix,
            )
    return ConfigError(text, fix=fix)


def _expected(option: Option) -> str:
    words = {
        "N": "a whole number",
        "N ...": "one or more whole numbers",
        "X": "a number",
        "": "no value",
        "PATH": "a path",
        "TEXT": "a word",
    }
    return words.get(option.value, option.value)


def _plain(box: str) -> str:
    """The words of tyro's framed and, on a terminal, coloured complaint, without its title and helptext."""
    rows = [row.strip(" │╭╮╰╯─") for row in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()]
    words = " ".join(" ".join(row for row in rows[1:] if row).split())
    return re.split(r" (?:Argument helptext|Perhaps you meant|For full helptext|─)", words)[0]
