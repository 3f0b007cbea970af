"""Everything that a configuration leaves open, chosen once for this launch and before anything of it is saved.

What is saved is what was chosen, so that a resume on another machine is compared with it rather than with `auto`.
"""

from __future__ import annotations

from dataclasses import replace

from pipelines.config import Precision as PixelPrecision
from pipelines.config import resolve_crops_by
from swav_dali.config.log import LogConfig
from swav_dali.config.sections import Precision, RunConfig
from swav_dali.errors import ConfigError
from swav_dali.ranks.device import autocast_dtype, threads_per_rank
from swav_dali.ranks.world import World


def resolve(config: RunConfig, world: World) -> RunConfig:
    """`config` without a word `auto`, for this launch.

    Raises:
        ConfigError: a choice that this device does not have.
        PipelineError: crops by a GPU where there is none.
    """
    data, on_cuda = config.data, world.device.type == "cuda"
    precision: Precision = "float32" if autocast_dtype(config.precision, world.device) is None else "bfloat16"
    loader = replace(
        data.loader,
        threads=data.loader.threads or threads_per_rank(world.ranks_per_node),
        precision=_pixels(config, has_autocast=precision != "float32"),
    )
    return replace(
        config,
        device="cuda" if on_cuda else "cpu",
        precision=precision,
        data=replace(data, loader=loader, crops_by=resolve_crops_by(data.crops_by, on_cuda=on_cuda)),
        log=_with_wandb_mode(config.log, world),
    )


def _pixels(config: RunConfig, *, has_autocast: bool) -> PixelPrecision:
    """The type of the pixels: that of the autocast if left open; raises ConfigError for 16 bits without one."""
    asked = config.data.loader.precision
    if asked == "auto":
        return "bfloat16" if has_autocast else "float32"
    if asked != "float32" and not has_autocast:
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
