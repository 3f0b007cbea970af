"""Train SwAV: `python train.py PRESET --section.option value`; `--help` lists presets and options."""

from shards.errors import run_and_leave
from swav_dali.cli import main

if __name__ == "__main__":
    run_and_leave(main)
