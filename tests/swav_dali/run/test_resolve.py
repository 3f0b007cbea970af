"""Nothing is left open in what is saved, and a choice that this machine does not have is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pipelines.errors import PipelineError
from swav_dali.config.presets import load_preset
from swav_dali.config.saved import differences, flatten
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError
from swav_dali.ranks.world import World
from swav_dali.run.resolve import resolve

MAIN, OTHER = (World(rank=rank, size=2, local_rank=rank, device=torch.device("cpu")) for rank in (0, 1))


@pytest.mark.parametrize("name", ["demo", "imagenet_256"])
def test_nothing_is_left_open(name: str) -> None:
    for world in (MAIN, OTHER):
        flat = flatten(resolve(load_preset(name), world))
        assert "auto" not in flat.values()
        assert flat["data.loader.threads"] > 0


def test_on_a_cpu_it_is_float32_by_the_cpu_and_stays_so() -> None:
    chosen = resolve(load_preset("demo"), MAIN)
    found = (chosen.device, chosen.precision, chosen.data.crops_by, chosen.data.loader.precision)
    assert found == ("cpu", "float32", "cpu", "float32")
    assert resolve(chosen, MAIN) == chosen


def test_what_was_chosen_is_what_a_resume_elsewhere_is_compared_with() -> None:
    here = flatten(resolve(load_preset("demo"), MAIN))
    elsewhere = {**here, "device": "cuda", "precision": "bfloat16", "log.wandb": "off", "data.loader.threads": 99}
    assert differences(here, elsewhere, world_changed=True) == [
        "--device cpu -> cuda",
        "--precision float32 -> bfloat16",
    ]


def test_what_this_machine_does_not_have_is_refused() -> None:
    demo = load_preset("demo")
    loader = replace(demo.data.loader, precision="float16")
    wrong: list[tuple[RunConfig, type[Exception]]] = [
        (replace(demo, precision="bfloat16"), ConfigError),
        (replace(demo, data=replace(demo.data, loader=loader)), ConfigError),
        (replace(demo, data=replace(demo.data, crops_by="gpu")), PipelineError),
    ]
    for config, error in wrong:
        with pytest.raises(error):
            resolve(config, MAIN)
