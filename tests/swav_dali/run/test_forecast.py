"""`train.py plan`: its figures against hand-made ones, its memory against tensors that exist."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.errors import PipelineError
from swav_dali.cli import main
from swav_dali.config.asked import Asked, take_flags, what_is_asked
from swav_dali.config.changed import changed
from swav_dali.config.presets import RECIPES, load_preset
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError
from swav_dali.method.forward import forward_loss
from swav_dali.method.optimizers import make_optimizer
from swav_dali.model.net import made_net
from swav_dali.run.forecast import forecast
from swav_dali.run.memory import footprint

TINY = {
    "data.batch_size": 6,
    "model.arch": "tiny",
    "model.hidden_dim": 16,
    "model.num_prototypes": 12,
    "optim.optimizer": "larc",
}


def asked(**changes: object) -> Asked:
    known = {"num_ranks": 4, "images": 1_281_167, "pictures": "x", "classes": None, "images_per_second": None}
    return Asked(**{**known, **changes})  # type: ignore[arg-type]


def small(**changes: object) -> RunConfig:
    return changed(load_preset("demo"), {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}})


def kept_by_autograd(config: RunConfig) -> int:
    net = made_net(config.model)
    own = {parameter.data_ptr() for parameter in net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    groups = [torch.rand(config.data.batch_size, group.num, 3, group.size, group.size) for group in config.data.crops]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made = forward_loss(net, groups, net.prototypes.weight, queued=None, swav=config.swav, autocast_dtype=None)
    assert made.loss > 0
    return sum(size for place, size in kept.items() if place not in own)


def test_what_backward_keeps_is_what_a_real_forward_keeps() -> None:
    config = small()
    assert footprint(config, num_ranks=1, dtype=None).kept == kept_by_autograd(config)


def test_weights_and_momentum_are_those_of_a_real_network() -> None:
    config = small(swav__queue_length=24)
    net = made_net(config.model)
    optimizer = make_optimizer(net, config.optim)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    found = footprint(config, num_ranks=2, dtype=None)
    state = [value for each in optimizer.state.values() for value in each.values() if isinstance(value, Tensor)]
    assert found.optimizer == sum(value.nbytes for value in state if value.dim() > 0)
    assert found.weights == sum(tensor.nbytes for tensor in (*net.parameters(), *net.buffers()))
    assert found.gradients == 4 * found.parameters == 4 * sum(each.numel() for each in net.parameters())
    assert found.queue == 2 * 24 // 2 * 64 * 4


def test_half_precision_and_parts_of_a_batch_keep_less() -> None:
    whole = footprint(small(data__batch_size=60), num_ranks=1, dtype=None).kept
    half = footprint(small(data__batch_size=60), num_ranks=1, dtype=torch.bfloat16).kept
    parts = footprint(small(data__batch_size=60, optim__micro_batches=3), num_ranks=1, dtype=None).kept
    assert 0.4 * whole < half < 0.7 * whole
    assert parts == pytest.approx(whole / 3, rel=0.1)


def test_a_plan_has_the_figures_of_the_published_small_batch_recipe() -> None:
    page = forecast(load_preset("imagenet_256"), asked(images_per_second=409.0))
    assert "5004 an epoch, 1000800 in all; 143 images are left out of every epoch" in page
    assert "0.87 h an epoch, 174.0 h in all at 409 images/s" in page  # README: 52 min 10 s an epoch on four V100
    assert "28.4 M parameters" in page
    assert "0.23 GB a checkpoint, at most 10 of them kept: 2.3 GB" in page  # issue 78: 217 MB without buffers
    assert "nothing here is known to fail" in page


def test_a_plan_warns_of_the_reference_s_own_default_and_shows_what_the_rule_would_choose() -> None:
    page = forecast(small(optim__epochs=1, model__num_prototypes=1000, optim__base_lr=4.8), asked(num_ranks=1))
    (rate,) = (line.split() for line in page.splitlines() if "--optim.base-lr   " in line)
    assert float(rate[1]) == 4.8
    assert float(rate[2]) == pytest.approx(0.6 * (6 / 256) ** 0.75, rel=1e-3)
    assert "warning: the learning rate is" in page


def test_epochs_counted_in_steps_are_told_in_passes() -> None:
    config = small(optim__epochs=100, optim__steps_per_epoch=2000, optim__warmup_epochs=1, data__batch_size=128)
    page = forecast(config, asked(images=4 * 128 * 40_000, num_ranks=4))
    assert "2000 an epoch, 200000 in all; 0.05 passes over the pictures an epoch, 0 images are left out" in page
    (warmup,) = (line.split() for line in page.splitlines() if "--optim.warmup-epochs" in line)
    assert float(warmup[2]) == 50  # half of the run's 5 passes, 20 epochs each


def test_several_heads_are_planned_like_any() -> None:
    page = forecast(small(model__num_prototypes=(30, 40)), asked(images=4000))
    assert "30 40" in page
    assert "nothing here is known to fail" in page


def test_recomputed_blocks_keep_less() -> None:
    config = small(model__recompute=True)
    assert footprint(config, num_ranks=1, dtype=None).kept < footprint(small(), num_ranks=1, dtype=None).kept


def test_a_set_below_one_batch_and_a_queue_below_one_are_mistakes() -> None:
    with pytest.raises(PipelineError, match="smaller than one global batch"):
        forecast(small(), asked(images=20))
    with pytest.raises(ConfigError, match="shorter than one global batch"):
        forecast(small(swav__queue_length=20), asked(images=200))
    with pytest.raises(ConfigError, match="groups of 3 for 4"):
        forecast(small(model__sync_bn=3), asked(images=200))


def test_its_flags_are_taken_out_and_the_rest_is_the_run_s() -> None:
    words = ["demo", "--images=30", "--optim.epochs", "3", "--images-per-second", "2.5", "--name=x"]
    flags, rest = take_flags(words)
    assert flags == {"--images": 30, "--images-per-second": 2.5}
    assert rest == ["demo", "--optim.epochs", "3", "--name=x"]
    for wrong in (["--images"], ["--images", "0"], ["--ranks", "1.5"], ["--images-per-second", "fast"]):
        with pytest.raises(ConfigError, match=wrong[0]):
            take_flags(wrong)


def test_pictures_are_counted_by_the_flag_the_shards_or_the_recipe(tmp_path: Path) -> None:
    nowhere = changed(load_preset("imagenet_256"), {"data.train": tmp_path})
    imagenet, demo = RECIPES["imagenet_256"], RECIPES["demo"]
    assert what_is_asked(nowhere, imagenet, {"--images": 5.0}).images == 5
    found = what_is_asked(nowhere, imagenet, {})
    assert (found.images, found.classes, found.num_ranks) == (1_281_167, 1000, 4)
    with pytest.raises(ConfigError, match="--images"):
        what_is_asked(nowhere, demo, {})


def test_it_answers_on_the_command_line_without_shards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "plan", "cifar10", "--data.batch-size", "64", "--ranks", "2"])
    assert main() == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "cifar10: 50000 images (CIFAR-10; there are no shards at data/cifar10/train), 2 rank(s) x 64"
    )
    monkeypatch.setattr(sys, "argv", ["train.py", "plan"])
    assert main() == 0
    assert "--images-per-second X" in capsys.readouterr().out
