"""Train SwAV: `python train.py PRESET --section.option value`; `--help` lists presets and options."""

import sys

from shards.errors import run_command
from swav_dali.cli import main

if __name__ == "__main__":
    sys.exit(run_command(main))
