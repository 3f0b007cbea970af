"""The README is true: its commands run as written on made-up pictures, its room sizes and its files are what is there.

Commands are read from the fenced blocks and run section by section, those that train with a few steps. What cannot run
here is named with the reason, so that nothing enters the README untried.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import training

import swav_dali.__main__
from shards.errors import run_command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
_STARTS = ("python", "torchrun", "make", "tail", "srun")

FEW_STEPS = (
    "--data.batch-size 4 --data.crops 2x32+2x16 --data.loader.threads 1 --model.arch tiny --model.hidden-dim 16 "
    "--model.embedding-dim 8 --model.num-prototypes 12 --swav.queue-length 0 --optim.epochs 1 --log.wandb off "
    "--optim.warmup-epochs 0 --knn.resize 32 --knn.size 32 --device cpu --model.sync-bn off"
)
SMALL = "--resize 32 --size 32 --threads 1 --device cpu"
NOT_HERE = {
    "make demo": "installs everything and trains for minutes; the parts it calls are tried one by one",
    "make test": "runs this very test",
    "tail -f": "never ends",
    "--nnodes": "wants several machines",
    "srun": "wants SLURM",
    "hf://": "wants a network; the same command is tried against a server on loopback",
    "s3://": "wants a bucket; tried against a server on loopback",
    "shards bench": "fills gigabytes; tried with a few pictures in its own tests",
    "--data.batch-size 512": "wants eight GPUs",
}


def commands(text: str) -> list[str]:
    """Command lines of the fenced blocks, continued lines joined, comments cut."""
    lines = [
        line
        for block in re.findall(r"^```\n(.*?)^```", text, re.S | re.M)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.startswith(_STARTS)]


def sections(text: str) -> dict[str, list[str]]:
    """The runnable commands of every section that has one, in order."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)[1:]
    found = zip(parts[0::2], map(commands, parts[1::2]), strict=True)
    runnable = {name: [line for line in lines if not any(mark in line for mark in NOT_HERE)] for name, lines in found}
    return {name: lines for name, lines in runnable.items() if lines}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with pictures where the README has them, and the demo's shards and run in small."""
    root = tmp_path_factory.mktemp("readme")
    for split, seed in (("train", 0), ("val", 1)):
        training.draw_folder(root / "data-imagenet" / split, num_images=24, seed=seed)
    training.draw_folder(root / "data-photos", num_images=24, seed=2)
    training.build_shards(root / "data-imagenet", root / "shards-imagenet")
    training.build_shards(root / "data-imagenet", root / "data" / "demo")
    done = run(adapted("python train.py demo --name demo", root), root)
    assert done.returncode == 0, done.stderr
    return root


def run(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a README line from `home`, its absolute folders taken from there."""
    words = re.sub(r"(?<=\s)/(data|shards)/", rf"{home}/\1-", line)
    words = re.sub(r"(?<=\s)(data|runs)/", rf"{home}/\1/", words)
    words = re.sub(r"(?<=\s)(\w+\.(?:npz|html|safetensors))", rf"{home}/\1", words)
    program, *rest = shlex.split(words)
    assert program == "python"
    return in_process(rest) if rest[:2] == ["-m", "swav_dali"] else training.run([sys.executable, *rest])


def in_process(words: list[str]) -> subprocess.CompletedProcess[str]:
    """`python -m swav_dali ...` without a process of its own, which would spend its time on imports."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", words[1:])
        code = run_command(swav_dali.__main__.main)
    return subprocess.CompletedProcess(words, code, stderr=said.getvalue())


def adapted(line: str, home: Path) -> str:
    """The line with options that make it small: a tiny network, one epoch, few pixels."""
    if " train.py" in line and "--help" not in line:
        steps = FEW_STEPS
        if "--data.train" not in line:
            steps += f" --data.train {home}/data/demo/train --data.validation {home}/data/demo/validation"
        line = re.sub(r"^torchrun --nproc-per-node \d+", "python -m torch.distributed.run --nproc-per-node 2", line)
        name = re.sub(r"\W+", "-", line)[-60:]
        return f"{line} {steps} --runs-dir {home}/runs" + ("" if "--name" in line else f" --name {name}")
    if "swav_dali" in line and "export" not in line:
        return f"{line} {SMALL}"
    return line


@pytest.mark.parametrize("section", sections(README))
def test_the_commands_of_a_section_run_as_written(section: str, home: Path) -> None:
    for line in sections(README)[section]:
        done = run(adapted(line.replace("runs/imagenet_256", "runs/demo"), home), home)
        assert done.returncode == 0, f"{line}\n{done.stderr[-800:]}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_command_of_the_documents_names_files_and_subcommands_that_exist(page: Path) -> None:
    for line in commands(page.read_text(encoding="utf-8")):
        if match := re.search(r"-m (shards|pipelines|swav_dali) (\w[\w-]*)", line):
            package, name = match.groups()
            found = list((ROOT / package / "commands").glob(f"{name.replace('-', '_')}.py"))
            assert found or name in ("publish",), line
        if "train.py" in line:
            assert re.search(r"train\.py( (demo|small|imagenet_\w+|recipes|plan|\w+)| --help|$)", line), line


def test_rooms_are_as_large_as_the_readme_says() -> None:
    package = ""
    rooms = re.findall(r"^( *)(\w+)/ +(\d+)  \S", README, re.M)
    assert len(rooms) > 20
    for indent, name, lines in rooms:
        package = package if indent else name
        folder = ROOT / package / name if indent else ROOT / package
        found = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))
        assert abs(found - int(lines)) <= max(60, 0.15 * found), f"{folder.name}: {found} lines"


def test_every_room_is_in_the_readme() -> None:
    named = {name for _, name, _ in re.findall(r"^( *)(\w+)/ +(\d+)  \S", README, re.M)}
    for package in ("shards", "pipelines", "swav_dali"):
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert rooms <= named


def test_links_lead_to_files_that_exist_and_the_page_is_short() -> None:
    for page in (ROOT / "README.md", *DOCS):
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    assert len(README.splitlines()) <= 200
