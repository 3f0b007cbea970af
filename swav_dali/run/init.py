"""Begin a new run with weights that were trained before, by whomever: --init."""

from __future__ import annotations

from pathlib import Path

from swav_dali.errors import ConfigError
from swav_dali.exchange.fitting import listed, misfits
from swav_dali.exchange.weights import read_weights
from swav_dali.model.net import SwavNet

_HEADS = ("projection_head.", "prototypes.")


def begin_with(model: SwavNet, place: Path) -> str:
    """Load the weights at `place` into `model` and say what was taken.

    The trunk must fit as a whole. Head and prototypes of another size, or missing in the file, keep their fresh values.

    Raises:
        ConfigError: no weights at `place`, or those of another trunk.
    """
    weights = read_weights(place)
    own = model.state_dict()
    fitting = {name: value for name, value in weights.state.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name not in fitting and not name.endswith("num_batches_tracked")]
    trunk = {name: value for name, value in own.items() if not name.startswith(_HEADS)}
    lacking, other = misfits(weights.state, trunk)
    if lacking or other:
        raise ConfigError(
            "weights of another trunk",
            where="--init",
            found=f"{listed(lacking, other)} in {weights.file}",
            expected=f"all {len(trunk)} tensors of this run's",
            fix="give --model.arch the architecture of these weights",
        )
    model.load_state_dict(fitting, strict=False)
    fresh = sorted({name.partition(".")[0] for name in missing})
    return f"begins with the weights of {weights.name}" + (f"; fresh: {', '.join(fresh)}" if fresh else "")
