"""Go on from a training of the reference, --go-on-from: a new run that begins where the other one stood."""

from __future__ import annotations

import torch

from swav_dali.errors import ConfigError
from swav_dali.exchange.fitting import listed, misfits
from swav_dali.exchange.training import TrainingState, queue_state
from swav_dali.method.larc import Larc
from swav_dali.method.queue import merge_queue_states
from swav_dali.model.names import published_name
from swav_dali.run.parts import ModelParts, Run

_OPTION = "--go-on-from"
_WEIGHTS_ONLY = "begin with the weights alone: --init"


def go_on_from(run: Run, state: TrainingState) -> str:
    """Take over weights, momentum, queue, loss scale and epoch; what is said about it.

    The learning rate is that of this run's table at the same epoch, and the order of the pictures is this run's.

    Raises:
        ConfigError: another network or optimizer, or a training that has no epoch left.
    """
    if not 0 < state.epoch < run.config.optim.epochs:
        raise ConfigError(
            "no epoch is left to train",
            where="--optim.epochs",
            found=run.config.optim.epochs,
            expected=f"more than the {state.epoch} of {state.file}",
        )
    _load_weights(run.parts, state)
    momentum, queue = _load_momentum(run.parts, state), _load_queue(run, state)
    if run.parts.loss_scale is not None and state.loss_scale is not None:
        run.parts.loss_scale.value.fill_(max(1.0, state.loss_scale))
    run.services.loader.start_epoch(state.epoch)
    run.clock.step = state.epoch * run.plan.steps_per_epoch
    return f"goes on from {state.file.name} after {state.epoch} epochs: all weights, {momentum}, {queue}"


def _load_weights(parts: ModelParts, state: TrainingState) -> None:
    own = parts.model.state_dict()
    missing, other = misfits(state.state, own)
    if missing or other:
        raise ConfigError(
            "another network than this run's",
            where=_OPTION,
            found=f"{listed(missing, other)} in {state.file}",
            fix=f"give the options of the model as it was trained, or {_WEIGHTS_ONLY}",
        )
    parts.model.load_state_dict({name: state.state.get(name, value) for name, value in own.items()})


def _load_momentum(parts: ModelParts, state: TrainingState) -> str:
    if not isinstance(parts.optimizer, Larc):
        raise ConfigError(
            "its momentum is that of SGD", where=_OPTION, expected="--optim.optimizer larc | lars", fix=_WEIGHTS_ONLY
        )
    for name, parameter in parts.model.named_parameters():
        momentum = state.momentum.get(published_name(name))
        if momentum is not None:  # in the parameter's own order in memory, as one update of both wants it
            parts.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum).detach()
    return f"momentum of {len(state.momentum)} tensors"


def _load_queue(run: Run, state: TrainingState) -> str:
    queue = run.parts.queue
    if not state.queues:
        return "no queue"
    if queue is None:
        return "not its queue, which is off here"
    queue.load_state_dict(merge_queue_states([queue_state(rows) for rows in state.queues], run.world))
    return f"{queue.num_filled} rows of queue for this rank, from {len(state.queues)} rank(s)"
