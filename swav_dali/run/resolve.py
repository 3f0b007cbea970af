"""Everything that a configuration leaves open, chosen once for this launch and before anything of it is saved.

What is saved is what was chosen, so that a resume on another machine is compared with it rather than with `auto`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from pipelines.config import Precision as PixelPrecision
from pipelines.config import resolve_crops_by
from swav_dali.config.log import LogConfig
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError
from swav_dali.ranks.device import autocast_dtype, threads_per_rank
from swav_dali.ranks.world import World

_PRECISIONS: dict[torch.dtype | None, PixelPrecision] = {
    None: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


def resolve(config: RunConfig, world: World) -> RunConfig:
    """`config` without a word `auto`, for this launch.

    Raises:
        ConfigError: a choice that this device does not have.
        PipelineError: crops by a GPU where there is none.
    """
    data, on_cuda = config.data, world.device.type == "cuda"
    precision = _PRECISIONS[autocast_dtype(config.precision, world.device)]
    loader = replace(
        data.loader,
        threads=data.loader.threads or threads_per_rank(world.ranks_per_node),
        precision=_pixels(config, precision=precision),
    )
    return replace(
        config,
        device="cuda" if on_cuda else "cpu",
        precision=precision,
        data=replace(data, loader=loader, crops_by=resolve_crops_by(data.crops_by, on_cuda=on_cuda)),
        log=_with_wandb_mode(config.log, world),
    )


def _pixels(config: RunConfig, *, precision: PixelPrecision) -> PixelPrecision:
    """The type of the pixels: that of the autocast if left open; raises ConfigError for 16 bits without one."""
    asked = config.data.loader.precision
    if asked == "auto":
        return precision
    if asked != "float32" and precision == "float32":
        raise ConfigError(
            "16-bit pixels need autocast", where="--data.loader.precision", found=asked, fix="--precision bfloat16"
        )
    return asked


def _with_wandb_mode(log: LogConfig, world: World) -> LogConfig:
    if log.wandb != "auto":
        return log
    if not world.is_main:  # which alone writes to it
        return replace(log, wandb="off")
    from swav_dali.watch.sinks.wandb import login_is_found  # wandb takes a second to import, and is often off

    return replace(log, wandb="online" if login_is_found() else "offline")
