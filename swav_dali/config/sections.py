"""One run's choices as frozen values; every field's docstring is its help text on the command line.

Durations are epochs and are turned into steps once, by the trainer. What depends on the shards or on the
number of ranks is checked by the trainer before anything is built. Presets are in swav_dali.config.presets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pipelines.config import IMAGENET_CROPS, Augmentation, CropsBy, LoaderOptions
from pipelines.recipes import CROPS_WORD, Crops
from pipelines.tags import Expert, Free, PerRank
from swav_dali.config.checks import at_least, not_negative, positive
from swav_dali.config.health import HealthConfig
from swav_dali.config.log import LogConfig
from swav_dali.config.optim import OptimConfig
from swav_dali.config.ranks import RanksConfig
from swav_dali.config.words import NUMBERS, PATH_OR_NONE
from swav_dali.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]
SyncBn = Literal["off", "world", "node"] | int
OWN_TRUNKS = ("tiny", "resnet18", "resnet34", "resnet50", "resnet50w2", "resnet50w4", "resnet50w5")
FOREIGN_TRUNKS = ("torchvision:", "timm:")
Verify = Literal["sample", "full", "off"]
_LONGEST_NAME = 200
"""Bytes; file systems take 255 and other programs add to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Shards, batch and crops."""

    train: Free[Path] = Path("data/imagenet/train")
    """Shard set to train on, as written by `python -m shards build`."""
    validation: Annotated[Free[Path | None], PATH_OR_NONE] = None
    """Labelled shard set for the online kNN probe; `none` switches the probe off."""
    batch_size: PerRank[int] = 64
    """Images per step and rank; the global batch is this times the number of ranks."""
    synthetic_images: Expert[int] = 0
    """Train on this many made-up images instead of shards, to time the model without a data path; 0 is off."""
    crops: Annotated[Crops, CROPS_WORD] = IMAGENET_CROPS
    """Crops of every picture as NUMBERxSIZE in pixels, joined by +; codes come from the first group. Shares of the
    picture's area follow an @: 2x224@0.14-1+6x96@0.05-0.14."""
    augment: Expert[Augmentation] = field(default_factory=Augmentation)
    """Distortions drawn for every crop."""
    crops_by: CropsBy | Literal["auto"] = "auto"
    """`gpu` cuts and distorts on the GPU, `cpu` on CPU cores, both with torchvision's arithmetic; `dali` is DALI's own
    operators on either, whose hue, contrast and order differ; `auto` is `gpu` on CUDA, `cpu` elsewhere."""
    verify: Free[Verify] = "sample"
    """Shards compared with their checksums while the training begins: a `sample` of up to 1 GiB per rank, `full` for
    all of them, or `off`. One that has changed stops the run."""
    loader: LoaderOptions = field(default_factory=LoaderOptions)
    """Threads, prefetch, shuffling and decoding."""

    def __post_init__(self) -> None:
        """Refuse an empty batch and crops that give no code."""
        at_least("--data.batch-size", self.batch_size, 1)
        at_least("--data.synthetic-images", self.synthetic_images, 0)
        if sum(group.num for group in self.crops) < 2:
            raise ConfigError("SwAV compares crops of one image", where="--data.crops", found="one crop", expected="2+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Backbone, projection head and prototypes."""

    arch: str = "resnet50"
    """Backbone: tiny (for CPUs and small crops), resnet18, resnet34, resnet50, resnet50w2, resnet50w4, resnet50w5, or
    any other as torchvision:NAME or timm:NAME."""
    small_stem: bool = False
    """Begin a ResNet with a 3x3 convolution and no pooling, for pictures of about 32 pixels."""
    embedding_dim: int = 128
    """Width of the normalized embedding."""
    hidden_dim: int = 2048
    """Hidden width of the projection head; 0 makes the head one linear layer."""
    head_norm: Expert[bool] = True
    """BatchNorm in the projection head; the published resnet50w5 has none."""
    num_prototypes: Annotated[int | tuple[int, ...], NUMBERS] = 3000
    """Prototypes K; the loss of a model that has learnt nothing is ln K. Several numbers make as many heads, each with
    codes of its own, and the loss their mean."""
    sync_bn: SyncBn = "off"
    """BatchNorm statistics over one rank, over all ranks, over the ranks of a node, or over groups of so many ranks,
    which must divide their number; CUDA only."""
    channels_last: Expert[bool] = True
    """Keep convolutions in the memory order the pipeline writes."""
    compile: Expert[bool] = False
    """Compile the backbone with torch.compile: a minute or more at the start, then fewer passes over memory."""
    recompute: Free[Expert[bool]] = False
    """Keep only the input of every block of the backbone and compute the rest again in backward: about half the memory
    for a third more arithmetic, the same bits. Not with --model.compile, which decides that itself."""

    def __post_init__(self) -> None:
        """Refuse sizes no layer can have, and trunks of nobody."""
        if self.arch not in OWN_TRUNKS and not self.arch.startswith(FOREIGN_TRUNKS):
            raise ConfigError(
                "unknown backbone",
                where="--model.arch",
                found=repr(self.arch),
                expected=" | ".join([*OWN_TRUNKS, *(f"{library}NAME" for library in FOREIGN_TRUNKS)]),
            )
        if self.compile and self.recompute:
            fix = "--model.no-recompute; a compiled backbone keeps less by itself"
            raise ConfigError(
                "either one or the other", where="--model.recompute", found="--model.compile too", fix=fix
            )
        at_least("--model.embedding-dim", self.embedding_dim, 2)
        at_least("--model.hidden-dim", self.hidden_dim, 0)
        if isinstance(self.sync_bn, int):
            at_least("--model.sync-bn", self.sync_bn, 2)
        at_least("--model.num-prototypes", min(self.heads, default=0), 2)

    @property
    def heads(self) -> tuple[int, ...]:
        """Prototypes of every head."""
        return self.num_prototypes if isinstance(self.num_prototypes, tuple) else (self.num_prototypes,)


@dataclass(frozen=True, kw_only=True, slots=True)
class SwavConfig:
    """Codes, queue and loss (arXiv 2006.09882, section 3)."""

    temperature: float = 0.1
    """Softmax temperature of the predictions."""
    epsilon: float = 0.05
    """Entropy regulariser of the Sinkhorn codes; smaller is harder."""
    sinkhorn_iterations: Expert[int] = 3
    """Rounds of row and column normalization; each is one all-reduce."""
    assign_crops: Expert[tuple[int, ...]] = (0, 1)
    """Crops whose codes the other crops predict."""
    queue_length: int = 0
    """Embeddings kept for the codes, over all ranks and per assigned crop; 0 is off."""
    queue_start_epoch: float = 15.0
    """Epoch at which the queue begins to fill; it is used once it is full."""
    freeze_prototypes_steps: int = 313
    """First steps in which the prototypes do not move; a preset's that would be most of a shorter run are a tenth."""

    def __post_init__(self) -> None:
        """Refuse temperatures and counts the formulas have no value for."""
        positive("--swav.temperature", self.temperature)
        positive("--swav.epsilon", self.epsilon)
        at_least("--swav.sinkhorn-iterations", self.sinkhorn_iterations, 1)
        at_least("--swav.queue-length", self.queue_length, 0)
        at_least("--swav.freeze-prototypes-steps", self.freeze_prototypes_steps, 0)
        not_negative("--swav.queue-start-epoch", self.queue_start_epoch)
        if not self.assign_crops or len(set(self.assign_crops)) != len(self.assign_crops):
            raise ConfigError("crops to assign must be distinct", where="--swav.assign-crops", found=self.assign_crops)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """What is kept on disk."""

    every_epochs: int = 1
    """Write a checkpoint at the end of every so many epochs; the last epoch always writes one."""
    every_steps: int = 0
    """Also write one every so many steps; 0 is off."""
    keep: int = 2
    """Newest checkpoints kept."""
    keep_every_epochs: int = 25
    """Checkpoints at the end of these epochs are kept for good; 0 keeps none."""

    def __post_init__(self) -> None:
        """Refuse counts below what resume needs."""
        at_least("--checkpoint.every-epochs", self.every_epochs, 1)
        at_least("--checkpoint.every-steps", self.every_steps, 0)
        at_least("--checkpoint.keep", self.keep, 1)
        at_least("--checkpoint.keep-every-epochs", self.keep_every_epochs, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class KnnConfig:
    """Online weighted kNN on frozen backbone features (cosine, as in Wu et al. 2018)."""

    every_epochs: int = 10
    """Epochs between probes; the last epoch always probes."""
    neighbours: int = 20
    """Neighbours that vote."""
    temperature: Expert[float] = 0.07
    """Votes weigh exp(cosine / temperature)."""
    resize: int = 256
    """Short side after resizing, in pixels."""
    size: int = 224
    """Side of the centre crop, in pixels."""
    max_train_images: int = 100_000
    """Training images whose features vote; with several ranks, an equal part of each rank's shards."""
    batch_size: int = 64
    """Images per step and rank while features are computed."""

    def __post_init__(self) -> None:
        """Refuse a probe without neighbours or with a crop larger than the picture."""
        for name in ("every_epochs", "neighbours", "size", "max_train_images", "batch_size"):
            at_least(f"--knn.{name.replace('_', '-')}", getattr(self, name), 1)
        positive("--knn.temperature", self.temperature)
        at_least("--knn.resize", self.resize, self.size)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """One training run."""

    name: Free[str] = "swav"
    """Name of the run and of its folder."""
    runs_dir: Free[Path] = Path("runs")
    """Folder that holds the run folders."""
    seed: int = 31
    """Seeds the weights, the order of the shards and, with the rank, the crops."""
    device: Device = "auto"
    """`auto` is CUDA where there is one."""
    precision: Precision = "auto"
    """`auto` is bfloat16 autocast on CUDA devices that have it, float32 elsewhere; `float16` autocast scales the loss
    and leaves out the steps that overflow, for devices without bfloat16."""
    resume: Free[Literal["auto", "never"] | Path] = "auto"
    """`auto` continues this run's newest sound checkpoint and starts at step 0 where there was never one; `never`
    starts at step 0 and refuses a run that could go on; a path names the checkpoint folder to continue from."""
    init: Annotated[Path | None, PATH_OR_NONE] = None
    """Begin a new run with these weights: a run folder, a checkpoint folder or a file. Every option may differ from
    those they were trained with; parts of another size start fresh, and the start says which."""
    go_on_from: Annotated[Expert[Path | None], PATH_OR_NONE] = None
    """Begin a new run where a training of the reference stood: its checkpoint.pth.tar, with queue0.pth ... beside it.
    Weights, momentum, epoch and queue are taken over; --init takes the weights alone."""
    deterministic: Expert[bool] = False
    """Only deterministic CUDA kernels, for bit-for-bit comparisons; the CPU needs no flag."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    swav: SwavConfig = field(default_factory=SwavConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    checkpoint: Free[CheckpointConfig] = field(default_factory=CheckpointConfig)
    log: Free[LogConfig] = field(default_factory=LogConfig)
    knn: Free[KnnConfig] = field(default_factory=KnnConfig)
    health: Free[HealthConfig] = field(default_factory=HealthConfig)
    ranks: Free[RanksConfig] = field(default_factory=RanksConfig)

    def __post_init__(self) -> None:
        """Check what concerns two sections: the crops assigned must be large crops that exist."""
        if not self.name or "/" in self.name or self.name.startswith(".") or not self.name.isprintable():
            raise ConfigError("a run's name is a plain folder name", where="--name", found=repr(self.name))
        if len(self.name.encode()) > _LONGEST_NAME:
            raise ConfigError(
                "too long for a folder",
                where="--name",
                found=f"{len(self.name.encode())} bytes, {self.name[:20]}...",
                expected=f"{_LONGEST_NAME} or fewer",
            )
        if self.data.batch_size % self.optim.micro_batches:
            raise ConfigError(
                "parts of a batch are equal",
                where="--optim.micro-batches",
                found=self.optim.micro_batches,
                expected=f"a divisor of --data.batch-size {self.data.batch_size}",
            )
        if self.init is not None and self.go_on_from is not None:
            raise ConfigError("either one or the other", where="--go-on-from", found="--init too")
        num_large = self.data.crops[0].num
        if not all(0 <= crop < num_large for crop in self.swav.assign_crops):
            raise ConfigError(
                "codes come from crops of the first group",
                where="--swav.assign-crops",
                found=self.swav.assign_crops,
                expected=f"numbers from 0 to {num_large - 1}",
            )

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.runs_dir / self.name
