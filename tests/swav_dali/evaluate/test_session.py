"""Whole evaluations on real shards: several processes against one, torchvision's pixels, scikit-learn's figures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from shards.tars.index import parse_index
from shards.tars.shardset import ShardSet, load_shard_set
from swav_dali.errors import ConfigError
from swav_dali.evaluate.features import FeatureBank
from swav_dali.evaluate.linear import LinearOptions
from swav_dali.evaluate.protocols import Outcome, knn, linear
from swav_dali.evaluate.session import Session
from swav_dali.exchange.backbone import Backbone
from swav_dali.exchange.kinds import LAST
from swav_dali.exchange.network import Network, network_of, preprocessing_of
from swav_dali.exchange.weights import Weights
from swav_dali.model.net import SwavNet
from swav_dali.ranks.world import World

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
SIZES = {"knn.resize": 40, "knn.size": 32}


def network() -> Network:
    torch.manual_seed(0)
    model = SwavNet("tiny", embedding_dim=8, hidden_dim=16, num_prototypes=12)
    return network_of(Weights(state=model.state_dict(), file=Path("none"), sha256="", config=SIZES))


def session(world: World = ALONE, batch_size: int = 5) -> Session:
    plan = preprocessing_of(SIZES)
    return Session(network=network(), world=world, plan=plan, batch_size=batch_size, threads=1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled splits with odd numbers of images."""
    root = tmp_path_factory.mktemp("sets")
    return training.build_shards(training.draw_splits(root / "pictures", train=37, val=13), root / "shards")


def pair(root: Path) -> tuple[ShardSet, ShardSet]:
    return load_shard_set(root / "train"), load_shard_set(root / "validation")


def whole_evaluation(world: World, root: Path) -> dict[str, Any]:
    chosen, (train, validation) = session(world), pair(root)
    found = chosen.assignment(validation, window=7)
    outcomes: list[Outcome] = [
        linear(chosen, train, validation, 2, options=LinearOptions(epochs=4, batch_size=8, rates=(0.01, 0.1, 0.3))),
        knn(chosen, train, validation, 2, neighbours=(1, 5, 100), temperature=0.07),
    ]
    return {
        "ids": found.ids.tolist(),
        "nearest": found.images.nearest.tolist(),
        "codes": found.images.code.tolist(),
        **{outcome.protocol: outcome.figures for outcome in outcomes},
    }


@pytest.mark.parametrize("ranks", [2, 3])
def test_several_processes_find_what_one_finds_with_every_image_once(
    ranks: int, sets: Path, run_ranks: Callable[..., list[Any]]
) -> None:
    alone = whole_evaluation(ALONE, sets)
    assert alone["ids"] == list(range(13))
    assert run_ranks(whole_evaluation, ranks, sets) == [alone] * ranks


def test_more_ranks_than_images_are_refused(sets: Path) -> None:
    crowd = World(rank=0, size=14, local_rank=0, device=torch.device("cpu"))
    with pytest.raises(ConfigError, match="fewer images than ranks, found 13 images, expected one for each of 14"):
        session(crowd).features(load_shard_set(sets / "validation"), gathered=False)


def test_preprocessing_is_torchvisions_within_a_level(sets: Path) -> None:
    shards = load_shard_set(sets / "validation")
    seen: list[torch.Tensor] = []
    session().computed(shards, lambda images: {"pixels": seen.append(images.clone()) or images.flatten(1)})
    ours = torch.cat(seen)
    transform = Backbone(network()).transform()
    std = torch.tensor(preprocessing_of(SIZES).std).view(3, 1, 1)
    pictures = [picture for shard in shards.shards for picture in _pictures(shard.tar, shard.idx)]
    assert len(pictures) == len(ours)
    for picture, mine in zip(pictures, ours, strict=True):
        assert float(((transform(picture) - mine) * std * 255).abs().max()) < 1.01


def _pictures(tar: Path, idx: Path) -> list[Image.Image]:
    content = tar.read_bytes()
    members = [sample[0] for sample in parse_index(idx.read_bytes(), where=idx)]
    (tar.parent / "picture").unlink(missing_ok=True)
    found = []
    for member in members:
        (tar.parent / "picture").write_bytes(content[member.offset : member.offset + member.size])
        found.append(Image.open(tar.parent / "picture").convert("RGB"))
    return found


def test_a_trunk_alone_has_no_prototypes_to_assign(sets: Path) -> None:
    state = {
        name: value for name, value in network().model.state_dict().items() if name.partition(".")[0] != "prototypes"
    }
    bare = network_of(Weights(state=state, file=Path("none"), sha256="", config=SIZES))
    chosen = Session(network=bare, world=ALONE, plan=preprocessing_of(SIZES), batch_size=5, threads=1)
    with pytest.raises(ConfigError, match="no head in these weights, found a trunk alone"):
        chosen.assignment(load_shard_set(sets / "validation"), window=7)


@pytest.mark.slow
def test_linear_and_knn_agree_with_scikit_learn_on_photos(tmp_path: Path) -> None:
    data = Path(os.environ.get("SWAV_DALI_DATA", Path(__file__).parents[4] / "shared" / "data")) / "clothing"
    if not data.is_dir():
        pytest.skip("the clothing photos are not here: set SWAV_DALI_DATA to the folder that holds clothing/")
    shards = pair(training.build_shards(data, tmp_path / "shards"))
    chosen = session(batch_size=64)
    learnt, scored = (chosen.features(part, gathered=True) for part in shards)
    assert _linear_of(learnt, scored, chosen, shards) < 0.5
    assert _knn_of(learnt, scored, chosen, shards) < 0.5


def _linear_of(learnt: FeatureBank, scored: FeatureBank, chosen: Session, shards: tuple[ShardSet, ShardSet]) -> float:
    """Points between our heads and scikit-learn's, at the same decay, both converged."""
    decay = 1e-3
    options = LinearOptions(epochs=200, weight_decay=decay, rates=(0.1, 0.2))
    ours = linear(chosen, *shards, len(shards[0].classes), options=options).figures
    mean, std = learnt.features[LAST].mean(0), learnt.features[LAST].std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    train, test = (((bank.features[LAST] - mean) / std).numpy() for bank in (learnt, scored))
    oracle = LogisticRegression(C=1 / (decay * len(train)), max_iter=5000, tol=1e-8).fit(train, learnt.labels.numpy())
    theirs = oracle.score(test, scored.labels.numpy())
    top1 = [head["top1"] for head in ours["heads"] if head["features"] == LAST]
    print(f"linear: ours {top1}, scikit-learn {theirs}")
    return 100 * max(abs(value - theirs) for value in top1)


def _knn_of(learnt: FeatureBank, scored: FeatureBank, chosen: Session, shards: tuple[ShardSet, ShardSet]) -> float:
    ours = knn(chosen, *shards, len(shards[0].classes), neighbours=(10, 20, 100), temperature=0.07).figures["top1"]
    worst = 0.0
    for k, top1 in ours.items():
        weigh = lambda distance: np.exp(-distance / 0.07)  # noqa: E731  cosine distance is 1 - cosine
        oracle = KNeighborsClassifier(int(k), weights=weigh, metric="cosine", algorithm="brute")
        oracle.fit(learnt.features[LAST].numpy(), learnt.labels.numpy())
        theirs = oracle.score(scored.features[LAST].numpy(), scored.labels.numpy())
        print(f"kNN {k}: ours {top1}, scikit-learn {theirs}")
        worst = max(worst, 100 * abs(top1 - theirs))
    return worst
