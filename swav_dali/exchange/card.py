"""The model card of exported weights: data, recipe, figures and licence, as far as the run knows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swav_dali.exchange.network import Network, preprocessing_of
from swav_dali.exchange.weights import Weights

_RECIPE = ("data.crops", "data.batch_size", "model.", "swav.", "optim.", "seed", "precision")


def model_card(network: Network) -> str:
    """Markdown, with the header that model hubs read."""
    return "\n".join([*_header(network), *_figures(network.weights), *_recipe(network.weights), *_licence(network)])


def _header(network: Network) -> Iterator[str]:
    weights, plan = network.weights, preprocessing_of(network.weights.config)
    yield from ("---", "library_name: timm", "tags: [image-feature-extraction, self-supervised, swav]", "---", "")
    yield f"# {weights.name}"
    yield ""
    yield (
        f"A {network.arch} trunk pretrained without labels by SwAV (arXiv 2006.09882): "
        f"{network.model.num_features} features, no classifier. Written by swav-dali."
    )
    yield ""
    yield f"- pictures: short side {plan.resize}, centre crop {plan.size}, mean {plan.mean}, std {plan.std}"
    yield f"- steps trained: {'unknown' if weights.step is None else weights.step}"
    yield f"- sha256 of the checkpoint: `{weights.sha256}`"
    if "data.train" in weights.config:
        yield f"- training data: shard set `{Path(str(weights.config['data.train'])).name}`"
    yield ""


def _figures(weights: Weights) -> Iterator[str]:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in _results(weights)]
    if results:
        yield from ("## Figures", "", "| protocol | top-1 | data |", "|---|---|---|")
        for result in results:
            for name, value in _top1(result["top1"]).items():
                data = result["data"]["validation"]
                yield f"| {result['protocol']}{name} | {100 * value:.1f} % | {data['images']} images |"
        yield ""


def _results(weights: Weights) -> list[Path]:
    if weights.run is None:
        return []
    step = weights.file.parent
    return sorted(step.parent.glob(f"{step.name}.*.json"))


def _top1(found: Any) -> dict[str, float]:
    if isinstance(found, dict):
        return {f", {name} neighbours": float(value) for name, value in found.items()}
    return {"": float(found)}


def _recipe(weights: Weights) -> Iterator[str]:
    chosen = {key: value for key, value in sorted(weights.config.items()) if key.startswith(_RECIPE)}
    if chosen:
        yield from ("## Recipe", "", "| option | value |", "|---|---|")
        yield from (f"| `{key}` | {value} |" for key, value in chosen.items())
        yield ""


def _licence(network: Network) -> Iterator[str]:
    yield "## Licence"
    yield ""
    yield (
        "The licence of these weights is for whoever trained them to say, within that of the pictures they were "
        "trained on."
    )
    if network.weights.run is None:
        yield f"They were read from `{network.weights.file.name}`; the published SwAV weights are CC BY-NC 4.0."
    yield ""
