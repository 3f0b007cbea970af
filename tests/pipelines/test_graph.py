"""The GPU graph of every recipe is built here without a GPU: constructed, each operator's backend known."""

from __future__ import annotations

from typing import Any

import pytest
from nvidia.dali import backend

from pipelines.config import Augmentation, CropsBy, LoaderOptions, Precision
from pipelines.graph import CropPlan, training_pipeline
from pipelines.reading.reader import plan_reading
from pipelines.recipes import RECIPES, Crops

CPU_ONLY = {"readers__Webdataset", "RandomCropGenerator", "PeekImageShape", "random__CoinFlip", "random__Uniform"}


def gpu_pipeline(shards: Any, crops: Crops, crops_by: CropsBy, **options: Any) -> Any:
    chosen = LoaderOptions(**options)
    return training_pipeline(
        plan_reading(shards, rank=0, world_size=1, seed=1, shuffle_seed=2, options=chosen),
        CropPlan(crops=crops, augment=Augmentation(), crops_by=crops_by, device="gpu", options=chosen),
        batch_size=4,
        seed=3,
        threads=1,
        device_id=None,
    )


def operators(pipeline: Any) -> list[tuple[str, str]]:
    """Name and device of every operator, from the calls the graph was made of."""
    pipeline._build_graph()
    pipeline._init_pipeline_backend()  # hands every operator to DALI's own checks; the guard's cannot be serialized
    return [(op._op.schema_name, op._op.device) for op in pipeline._ops]


@pytest.mark.parametrize("crops_by", ["gpu", "cpu", "dali"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_operator_of_the_gpu_graph_has_its_backend(make_set: Any, recipe: str, crops_by: CropsBy) -> None:
    found = operators(gpu_pipeline(make_set(24), RECIPES[recipe], crops_by))
    registered = {
        "gpu": set(backend.RegisteredGPUOps()),
        "cpu": set(backend.RegisteredCPUOps()),
        "mixed": set(backend.RegisteredMixedOps()),
    }
    assert found
    registered["cpu"].add(
        "NumbaFunction"
    )  # the guard's: from a plugin, which these lists leave out; it runs in CPU tests
    missing = {(name, device) for name, device in found if name not in registered[device]}
    assert not missing
    assert ("decoders__Image", "cpu" if crops_by == "cpu" else "mixed") in found


@pytest.mark.parametrize("crops_by", ["gpu", "cpu", "dali"])
def test_nothing_random_is_drawn_on_the_gpu(make_set: Any, crops_by: CropsBy) -> None:
    found = operators(gpu_pipeline(make_set(24), RECIPES["2x64+4x32"], crops_by))
    random = {(name, device) for name, device in found if "andom" in name or name in CPU_ONLY}
    assert random
    assert {device for _, device in random} == {"cpu"}


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("decode_on", ["device", "cpu"])
def test_the_gpu_graph_takes_every_precision_and_place_of_decoding(
    make_set: Any, precision: Precision, decode_on: str
) -> None:
    found = operators(gpu_pipeline(make_set(24), RECIPES["2x64+4x32"], "gpu", precision=precision, decode_on=decode_on))
    decoders = [device for name, device in found if name == "decoders__Image"]
    assert decoders == ["mixed" if decode_on == "device" else "cpu"]


def test_crops_made_on_cpu_cores_are_copied_by_the_graph(make_set: Any) -> None:
    """So that DALI copies them ahead of the step, as many batches as it prepares; in 16 bits, which halves them."""
    pipeline = gpu_pipeline(make_set(24), RECIPES["2x64+4x32"], "cpu", precision="bfloat16")
    found = operators(pipeline)
    assert ("NumbaFunction", "cpu") in found
    assert not [name for name, device in found if device != "cpu"]
    assert [node.device for node in pipeline._graph_outputs] == ["gpu", "gpu", "cpu", "cpu"]


def test_every_stateful_operator_has_a_name_of_its_own(make_set: Any) -> None:
    """A counted name would change with any operator added before it, and old checkpoints would no longer fit."""
    pipeline = gpu_pipeline(make_set(24), RECIPES["2x224+6x96"], "gpu")
    pipeline._build_graph()
    names = [op.name for op in pipeline._ops if "andom" in op._op.schema_name or "eader" in op._op.schema_name]
    assert len(names) == len(set(names)) > 10
    assert not [name for name in names if name.startswith("__")]
