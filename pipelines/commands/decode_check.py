"""`python -m pipelines decode-check`: pictures on standard input, on standard output whether DALI decodes them.

`python -m shards check --full` asks it, in a process of its own: DALI may crash on a damaged picture, and the package
`shards` knows nothing of DALI.
"""

from __future__ import annotations

import argparse
import os
import sys

from shards.checking.second_opinion import OK, read_picture
from shards.commands.common import Subparsers, add_command

EXAMPLES = """\
  python -m pipelines decode-check < pictures       a length of 4 bytes, little-endian, before each; a line of answer
"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    summary = "Answer for each picture on standard input whether DALI decodes it; for `shards check --full`."
    add_command(subparsers, "decode-check", summary, examples=EXAMPLES).set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say who answers, then answer until the input ends."""
    from pipelines.parity.decode_check import NAME, DecodeCheck

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    check = DecodeCheck()
    print(NAME, file=answers)
    while (content := read_picture(sys.stdin.buffer)) is not None:
        print(check.refusal(content) or OK, file=answers)
    return 0
