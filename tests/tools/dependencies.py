"""`make dependencies`: docs/dependencies.md, what is installed for what reason, in which version, under which licence.

Names come from pyproject.toml, versions and licences from the installed packages themselves; only the reasons are kept
here. A dependency without a reason is an error.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "dependencies.md"

REASONS = {
    "torch": "tensors, autograd, DistributedDataParallel",
    "torchvision": "reference of the parity tests and the Pillow loader of the bench",
    "nvidia-dali-cuda130": "reads, decodes and draws on CUDA 13 and on CPUs",
    "nvidia-dali-cuda120": "the same for CUDA 12 drivers",
    "webdataset": "contestant of the benches; readers of our shards in tests",
    "wandb": "the run in Weights & Biases",
    "nvidia-ml-py": "GPU utilization and clocks while a run is watched",
    "bokeh": "draws report.html",
    "numba": "compiled crops on the CPU inside DALI",
    "tyro": "command line from dataclasses",
    "rich": "progress bar",
    "pillow": "drawing the demo set; reference decoder in tests",
    "numpy": "arrays at rest and on the way to DALI",
    "simplejpeg": "strict decoding of every JPEG that is converted",
    "xxhash": "fingerprints of source files",
    "safetensors": "weights in and out without pickle",
    "pyarrow": "parquet and arrow sources",
    "scipy": "the development kit of ILSVRC2012 (.mat)",
    "fsspec": "sources and shard sets at URLs",
    "s3fs": "the same on S3",
    "huggingface_hub": "data sets from the Hugging Face hub",
    "distributed": "conversion on a Dask cluster",
    "dask": "the same",
    "onnx": "export of the backbone",
    "onnxscript": "torch's exporter needs it",
    "wandb-workspaces": "makes a run's workspace in wandb",
    "tensorboard": "writes and reads event files",
    "timm": "oracle of export tests",
    "onnxruntime": "oracle of export tests",
    "scikit-learn": "oracle of evaluation tests",
    "wids": "oracle of index tests",
    "moto": "an S3 server for tests",
    "pytest": "tests",
    "pytest-xdist": "tests on several cores",
    "ruff": "format and lint",
    "mypy": "types",
    "import-linter": "imports one way",
}
GROUPS = {
    "": "Always",
    "cuda12": "CUDA 12",
    "sources": "Sources",
    "remote": "URLs",
    "export": "Export",
    "dask": "Dask",
    "dashboard": "wandb workspaces",
    "tensorboard": "TensorBoard",
}


def declared() -> dict[str, list[str]]:
    """Package names by group of pyproject.toml; the empty name is the group that is always installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        group: [name for line in lines if (name := re.split(r"[\[<>=!~ ]", line)[0]) != project["name"]]
        for group, lines in groups.items()
    }


def licence(name: str) -> tuple[str, str]:
    """Version and licence that an installed package states; dashes if it is not installed here."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return "not installed here", "-"
    classifiers = [text.rpartition(" :: ")[2] for text in stated.get_all("Classifier", []) if "License ::" in text]
    free_text = (stated.get("License") or "").strip().split("\n")[0]
    return stated["Version"], stated.get("License-Expression") or ", ".join(classifiers) or free_text or "not stated"


def page() -> str:
    """The document; raises SystemExit for a dependency without a reason."""
    groups = declared()
    missing = sorted({name for names in groups.values() for name in names} - REASONS.keys())
    if missing:
        sys.exit(f"tests/tools/dependencies.py: no reason for {', '.join(missing)}")
    lines = ["# Dependencies", "", "Written by `make dependencies` from the installed packages.", ""]
    for group, names in groups.items():
        lines += [f"## {GROUPS.get(group, 'Tests')}{f' (`[{group}]`)' if group else ''}", ""]
        lines += ["| package | version | licence as stated by it | why it is here |", "|---|---|---|---|"]
        lines += [f"| {name} | {' | '.join(licence(name))} | {REASONS[name]} |" for name in names] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE.relative_to(ROOT)}")
