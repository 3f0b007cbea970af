"""A training checkpoint of the reference, made up here, goes on: weights, momentum, epoch, queue, loss scale."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import training
from torch import nn

from swav_dali.config.optim import OptimConfig
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError
from swav_dali.exchange.training import read_training_state
from swav_dali.exchange.weights import read_weights
from swav_dali.method.adamw import AdamW
from swav_dali.method.larc import Larc
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.scale import LossScale
from swav_dali.model.net import SwavNet
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import find_checkpoints, load_parts
from swav_dali.run.go_on import go_on_from

CPU = torch.device("cpu")
SIZES = {"embedding_dim": 8, "hidden_dim": 16, "num_prototypes": 12}


def net(seed: int, arch: str = "tiny", **changes: int) -> SwavNet:
    torch.manual_seed(seed)
    return SwavNet(arch, **{**SIZES, **changes})


def saved_by_the_reference(folder: Path, *, ranks: int = 2, filled: int = 4, epoch: int = 1) -> SwavNet:
    """checkpoint.pth.tar and queue files as main_swav.py writes them, after steps of SGD with frozen prototypes."""
    model = net(1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    model([torch.randn(4, 2, 3, 32, 32)])[1].square().sum().backward()
    model.prototypes.weight.grad = None
    sgd.step()
    sgd.param_groups[0]["lr"] = np.float64(0.25)  # of its table, which is an array
    content = {
        "epoch": epoch,
        "state_dict": {f"module.{name}": value for name, value in model.state_dict().items()},
        "optimizer": sgd.state_dict(),
        "amp": {"loss_scaler0": {"loss_scale": 4096.0, "unskipped": 7}},
    }
    torch.save(content, folder / "checkpoint.pth.tar")
    for rank in range(ranks):
        rows = torch.zeros(2, 4, 8)
        rows[:, :filled] = nn.functional.normalize(torch.randn(2, filled, 8), dim=-1)
        torch.save({"queue": rows}, folder / f"queue{rank}.pth")
    return model


def run_of(model: SwavNet, *, optimizer: Any = None, queue: FeatureQueue | None = None, epochs: int = 3) -> Any:
    """As much of a Run as going on needs."""
    world = World(rank=0, size=1, local_rank=0, device=CPU)
    parts = SimpleNamespace(
        model=model,
        optimizer=optimizer or Larc(model.parameters(), lr=0.1),
        queue=queue,
        loss_scale=LossScale(CPU, start=65536.0),
    )
    epochs_begun: list[int] = []
    return SimpleNamespace(
        config=RunConfig(optim=OptimConfig(epochs=epochs, warmup_epochs=0)),
        world=world,
        plan=SimpleNamespace(steps_per_epoch=10),
        parts=parts,
        services=SimpleNamespace(loader=SimpleNamespace(start_epoch=epochs_begun.append)),
        clock=SimpleNamespace(step=0),
        epochs_begun=epochs_begun,
    )


def queue_of(length: int) -> FeatureQueue:
    return FeatureQueue(length=length, num_assign=2, embedding_dim=8, batch_size=2, world_size=1, device=CPU)


def test_weights_momentum_epoch_and_loss_scale_are_taken_over(tmp_path: Path) -> None:
    theirs = saved_by_the_reference(tmp_path)
    run = run_of(net(2))
    said = go_on_from(run, read_training_state(tmp_path))
    assert said.startswith("goes on from checkpoint.pth.tar after 1 epochs: all weights, momentum of ")
    assert said.endswith("not its queue, which is off here")
    for (name, one), other in zip(run.parts.model.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    expected = torch.load(tmp_path / "checkpoint.pth.tar", weights_only=False)["optimizer"]["state"]
    for number, parameter in enumerate(run.parts.model.parameters()):
        if number in expected:
            ours = run.parts.optimizer.state[parameter]["momentum_buffer"]
            assert torch.equal(ours, expected[number]["momentum_buffer"])
    assert run.parts.model.prototypes.weight not in run.parts.optimizer.state
    assert (run.clock.step, run.epochs_begun) == (10, [1])
    assert float(run.parts.loss_scale.value) == 4096.0


def test_the_next_step_is_that_of_sgd(tmp_path: Path) -> None:
    saved_by_the_reference(tmp_path)
    run = run_of(net(2))
    go_on_from(run, read_training_state(tmp_path / "checkpoint.pth.tar"))
    theirs = net(3)
    content = torch.load(tmp_path / "checkpoint.pth.tar", weights_only=False)
    theirs.load_state_dict({name.removeprefix("module."): value for name, value in content["state_dict"].items()})
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    sgd.load_state_dict(content["optimizer"])
    sgd.param_groups[0]["lr"] = 0.1
    run.parts.optimizer.param_groups[0].update(adapt=False, weight_decay=0.0, lr=0.1)
    for model, optimizer in ((run.parts.model, run.parts.optimizer), (theirs, sgd)):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    for one, other in zip(run.parts.model.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("filled", "length", "rows"), [(4, 8, 8), (4, 4, 4), (2, 8, 4)])
def test_rows_of_all_queues_are_shared_out_newest_first(tmp_path: Path, filled: int, length: int, rows: int) -> None:
    saved_by_the_reference(tmp_path, filled=filled)
    run = run_of(net(2), queue=queue_of(length))
    said = go_on_from(run, read_training_state(tmp_path))
    assert f"{rows} rows of queue for this rank, from 2 rank(s)" in said
    queues = [torch.load(tmp_path / f"queue{rank}.pth")["queue"] for rank in range(2)]
    expected = torch.stack([queue[:, :filled] for queue in queues], dim=2).flatten(1, 2)[:, :rows]
    assert torch.equal(run.parts.queue.embeddings[:, :rows], expected)
    assert run.parts.queue.is_full == (rows == length)


def complaint(tmp_path: Path, run: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        go_on_from(run, read_training_state(tmp_path))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    saved_by_the_reference(tmp_path)
    assert "1 of another shape: prototypes.weight" in complaint(tmp_path, run_of(net(2, num_prototypes=13)))
    line = complaint(tmp_path, run_of(net(2, arch="resnet18")))
    assert "missing: layer1.1.conv1.weight" in line
    assert "of another shape: conv1.weight" in line
    assert "--init" in line
    model = net(2)
    assert "momentum is that of SGD" in complaint(tmp_path, run_of(model, optimizer=AdamW(model.parameters(), lr=0.1)))
    assert "no epoch is left to train" in complaint(tmp_path, run_of(net(2), epochs=1))


def test_files_that_are_no_training_are_said(tmp_path: Path) -> None:
    saved_by_the_reference(tmp_path)
    content = torch.load(tmp_path / "checkpoint.pth.tar", weights_only=False)
    (tmp_path / "queue0.pth").unlink()
    assert "queues of some ranks are missing" in complaint(tmp_path, run_of(net(2)))
    torch.save(content["state_dict"], tmp_path / "checkpoint.pth.tar")
    assert "no training checkpoint" in complaint(tmp_path, run_of(net(2)))
    torch.save(
        {**content, "optimizer": {"param_groups": [{"params": [0]}], "state": {}}}, tmp_path / "checkpoint.pth.tar"
    )
    assert "another number of parameters" in complaint(tmp_path, run_of(net(2)))
    with pytest.raises(ConfigError, match="either one or the other"):
        RunConfig(init=tmp_path, go_on_from=tmp_path)


def test_nothing_but_tensors_and_numbers_is_unpickled(tmp_path: Path) -> None:
    saved_by_the_reference(tmp_path)
    content = torch.load(tmp_path / "checkpoint.pth.tar", weights_only=False)
    torch.save({**content, "amp": SimpleNamespace()}, tmp_path / "checkpoint.pth.tar")
    assert "not a file of weights" in complaint(tmp_path, run_of(net(2)))


def test_its_weights_alone_can_be_read(tmp_path: Path) -> None:
    theirs = saved_by_the_reference(tmp_path)
    state = read_weights(tmp_path / "checkpoint.pth.tar").state
    assert torch.equal(state["conv1.weight"], theirs.state_dict()["conv1.weight"])


def test_a_head_without_norm_is_read_by_either_number_of_its_second_layer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SwavNet("tiny", **SIZES, head_norm=False)
    state = {
        f"module.{name.replace('projection_head.2', 'projection_head.3')}": value
        for name, value in model.state_dict().items()
    }
    torch.save(state, tmp_path / "w5.pth.tar")
    assert read_weights(tmp_path / "w5.pth.tar").state.keys() == model.state_dict().keys()


def test_a_run_goes_on_from_it(tiny_data: Path, tmp_path: Path) -> None:
    saved_by_the_reference(tmp_path)
    done = training.run(
        [
            *training.command(tiny_data, tmp_path, "further", go_on_from=str(tmp_path), data__validation="none"),
            *("--optim.optimizer", "larc", "--log.no-headspace"),
        ]
    )
    assert done.returncode == 0, done.stderr
    assert "goes on from checkpoint.pth.tar after 1 epochs" in done.stdout
    steps = [record["step"] for record in training.records(tmp_path / "further") if "loss" in record]
    assert steps == list(range(11, 21))
    loader = load_parts(find_checkpoints(tmp_path / "further" / "checkpoints")[-1], "rank-00000.pt")["loader"]
    assert loader["epoch"] + (loader["step_in_epoch"] > 0) == 2
