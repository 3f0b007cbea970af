"""Which ranks share BatchNorm statistics. The layers themselves run on CUDA only; their groups are real, over gloo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from swav_dali.cli import parse
from swav_dali.errors import ConfigError
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import ranks_of_a_norm, synchronize_norms, wrap
from swav_dali.ranks.world import World


def norms_of(world: World, group_size: int) -> tuple[int, int, list[int], float]:
    """How many layers are synchronized, how many are not, the ranks of their group, and the sum of those over it."""
    model = SwavNet("tiny", embedding_dim=8, hidden_dim=16, num_prototypes=4)
    names = set(model.state_dict())
    synchronize_norms(model, group_size)
    layers = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    synchronized = [layer for layer in layers if isinstance(layer, nn.SyncBatchNorm)]
    assert set(model.state_dict()) == names
    (group,) = {layer.process_group for layer in synchronized}
    total = torch.tensor(float(world.rank))
    dist.all_reduce(total, group=group)
    return len(synchronized), len(layers) - len(synchronized), dist.get_process_group_ranks(group), total.item()


@pytest.mark.parametrize("group_size", [2, 4])
def test_four_ranks_share_statistics_in_groups_of_neighbours(
    run_ranks: Callable[..., list[Any]], group_size: int
) -> None:
    for rank, (shared, alone, ranks, total) in enumerate(run_ranks(norms_of, 4, group_size)):
        first = rank // group_size * group_size
        assert ranks == list(range(first, first + group_size))
        assert total == sum(ranks)
        assert (shared, alone) == (13, 0)  # stem, two in each of four blocks, three shortcuts, the head


def test_a_word_or_a_number_says_how_many_ranks() -> None:
    sizes = {word: ranks_of_a_norm(word, num_ranks=16, ranks_per_node=8) for word in ("off", "world", "node", 4)}  # type: ignore[arg-type]
    assert sizes == {"off": 1, "world": 16, "node": 8, 4: 4}


@pytest.mark.parametrize(("word", "num_ranks", "words"), [(3, 4, "groups of 3 for 4"), ("node", 12, "8 on this node")])
def test_groups_that_leave_ranks_over_are_refused(word: Any, num_ranks: int, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"--model.sync-bn: .*{words}"):
        ranks_of_a_norm(word, num_ranks=num_ranks, ranks_per_node=8)


def test_a_group_for_one_rank_and_one_on_cpus_are_mistakes() -> None:
    model = nn.BatchNorm1d(3)
    alone = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
    two = World(rank=0, size=2, local_rank=0, device=torch.device("cpu"), ranks_per_node=2)
    assert wrap(model, alone, sync_bn="world") is model
    with pytest.raises(ConfigError, match="groups of 2 for 1 rank"):
        wrap(model, alone, sync_bn=2)
    for word in ("world", "node", 2):
        with pytest.raises(ConfigError, match="needs CUDA"):
            wrap(model, two, sync_bn=word)  # type: ignore[arg-type]


def test_the_command_line_takes_both() -> None:
    assert parse(["demo", "--model.sync-bn", "8"]).model.sync_bn == 8
    assert parse(["demo", "--model.sync-bn", "node"]).model.sync_bn == "node"
    for wrong in ("1", "0", "nodes"):
        with pytest.raises(ConfigError, match=r"--model\.sync-bn"):
            parse(["demo", "--model.sync-bn", wrong])
