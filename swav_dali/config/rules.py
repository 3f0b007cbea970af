"""What to choose for a batch and a set of pictures, as rules, and which choices are known to fail. Pure.

A rule goes through every published point it can; where it has to fill in between them its docstring says that this is
ours. Issue numbers are those of facebookresearch/swav. `python train.py plan` shows the rules beside a recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swav_dali.config.sections import RunConfig

_FULL = 4096
"""Images that share in the codes of the reference's recipes: its batch, or a batch of 256 and the queue."""
_PROTOTYPES = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the rules go by.

    Attributes:
        batch: images of a step, over all ranks.
        images: pictures of the training set.
        epochs: length of the training, in passes over the pictures.
        classes: kinds of things on the pictures, as far as anyone knows; None for unknown.
        prototypes: as chosen, for the queue.
        optimizer: as chosen, for the rates.
    """

    batch: int
    images: int
    epochs: float
    classes: int | None = None
    prototypes: int = _PROTOTYPES
    optimizer: str = "larc"


@dataclass(frozen=True, slots=True)
class Rule:
    """One option, what the rule would give it, and why."""

    key: str
    value: Callable[[Setting], Any]
    why: str


def base_lr(setting: Setting) -> float:
    """0.6 (batch / 256)^(3/4) for LARC and LARS: the one power law through the reference's 0.6 at 256 and 4.8 at 4096.

    Its 4.8 at 2560 (RN50w4) and at 1536 (RN50w5) are 1.4 and 2.1 times that. For AdamW 0.0005 batch / 256, the linear
    rule of DINO (arXiv 2104.14294), which is also what SwAV with a ViT was tried with.
    """
    per_256 = setting.batch / 256
    return 0.0005 * per_256 if setting.optimizer == "adamw" else 0.6 * per_256**0.75


def final_lr(setting: Setting) -> float:
    """A thousandth of the base rate, as in every script of the reference but RN50w5's."""
    return base_lr(setting) / 1000


def warmup_epochs(setting: Setting) -> float:
    """Ten epochs, none at 256 images or fewer (reference); at most half the run (ours)."""
    has_warmup = setting.batch > 256 or setting.optimizer == "adamw"
    return min(10.0, setting.epochs / 2) if has_warmup else 0.0


def start_lr(setting: Setting) -> float:
    """A sixteenth of the base rate, 0.3 of 4.8 (reference)."""
    return base_lr(setting) / 16 if warmup_epochs(setting) else 0.0


def freeze_steps(setting: Setting) -> int:
    """One epoch and one step: 313 at 4096 images, 5005 at 256 (reference). Longer where it stays at ln K (issue 62)."""
    return setting.images // setting.batch + 1


def queue_length(setting: Setting) -> int:
    """None for a batch with as many images as prototypes; else whole batches until 4096 images share 3000 prototypes.

    That is 15 batches at 256 and one at 2560, as in the reference; RN50w5 had one batch of 1536 where this gives two.
    No more than 15 batches, for embeddings grow old, and no more than half the pictures (ours): a queue that has been
    once round the set holds this batch's own pictures.
    """
    if setting.batch >= setting.prototypes:
        return 0
    missing = _FULL * setting.prototypes // _PROTOTYPES - setting.batch
    batches = min(-(-missing // setting.batch), 15, setting.images // 2 // setting.batch)
    return max(batches, 0) * setting.batch


def queue_start_epoch(setting: Setting) -> float:
    """15 epochs (paper: earlier disturbs), at most a quarter of the run (ours); 0 for one of one batch (reference)."""
    if queue_length(setting) <= setting.batch:
        return 0.0
    return min(15.0, setting.epochs / 4)


def num_prototypes(setting: Setting) -> int:
    """About ten for a class (issues 37 and 64), 3000 where that is more or classes are unknown.

    The paper found 3000 to 100000 alike on ImageNet. At least 30, and no more than one for every 50 pictures (ours):
    ImageNet has 427 for each.
    """
    by_class = _PROTOTYPES if setting.classes is None else 10 * setting.classes
    return max(min(by_class, _PROTOTYPES, setting.images // 50), 30)


def epsilon(setting: Setting) -> float:
    """0.05 for thousands of prototypes (reference), 0.03 for hundreds, 0.02 for tens.

    The fewer there are, the nearer a code of 0.05 comes to a uniform one; issue 23 and our own small presets need the
    lower values.
    """
    return 0.05 if setting.prototypes >= 1000 else 0.03 if setting.prototypes >= 100 else 0.02


RULES = (
    Rule("optim.base_lr", base_lr, "0.6 at 256, 4.8 at 4096 (reference), the power law between"),
    Rule("optim.final_lr", final_lr, "a thousandth (reference)"),
    Rule("optim.warmup_epochs", warmup_epochs, "10, none at 256 (reference), at most half the run"),
    Rule("optim.start_lr", start_lr, "a sixteenth (reference)"),
    Rule("swav.freeze_prototypes_steps", freeze_steps, "an epoch and a step (reference)"),
    Rule("swav.queue_length", queue_length, "4096 images share 3000 prototypes, 15 batches at most (reference)"),
    Rule("swav.queue_start_epoch", queue_start_epoch, "15 (paper), at most a quarter of the run"),
    Rule("model.num_prototypes", num_prototypes, "10 for a class (issues 37, 64), 50 pictures for each"),
    Rule("swav.epsilon", epsilon, "0.05; fewer prototypes, smaller (issue 23)"),
)

_MOST_TIMES_THE_RULE = 2.5  # the reference's RN50w5 is at 2.1; its default of 4.8 at 512 images, issue 12, at 4.8
_FEWEST_SHARE = 16  # lightly trains 3000 prototypes with 256 images, a twelfth; 16 images for 1500 fail, issue 118
_LOWEST_EPSILON = 0.01  # the lowest anyone reports to have used, issue 23
_FEWEST_PICTURES = 2  # for a prototype; lightly's Imagenette has three


def warnings_on_choices(config: RunConfig, *, images: int, num_ranks: int) -> list[str]:
    """Choices that are known to collapse or to do nothing, each with who saw it.

    Args:
        config: of the run.
        images: pictures of the training set.
        num_ranks: ranks of the launch.
    """
    batch = config.data.batch_size * num_ranks
    found = (_on_rate(config, batch), *_on_codes(config), *_on_queue(config, batch, images))
    return [text for text in (*found, _on_prototypes(config, batch, images)) if text]


def _on_rate(config: RunConfig, batch: int) -> str:
    """The rule is known for the reference's setting: LARC and thousands of prototypes; small ones bear more."""
    optim, prototypes = config.optim, max(config.model.heads)
    rule = base_lr(Setting(batch=batch, images=1, epochs=1))
    if optim.optimizer != "larc" or prototypes < 1000 or optim.base_lr <= _MOST_TIMES_THE_RULE * rule:
        return ""
    return (
        f"the learning rate is {optim.base_lr / rule:.1f} times what goes with {batch} images a step, and such runs "
        f"stay at ln K (swav issue 12): --optim.base-lr {rule:.2g}, or a larger --data.batch-size"
    )


def _on_codes(config: RunConfig) -> list[str]:
    swav = config.swav
    found = []
    if swav.epsilon >= swav.temperature:
        found.append(
            f"codes are no sharper than predictions, so that all may become uniform (paper): --swav.epsilon "
            f"{swav.epsilon:g} is not below --swav.temperature {swav.temperature:g}"
        )
    if swav.epsilon < _LOWEST_EPSILON:
        found.append(
            f"codes are nearly hard, which learns worse (paper): --swav.epsilon {swav.epsilon:g} is below what anyone "
            f"reports, {_LOWEST_EPSILON:g}"
        )
    if swav.sinkhorn_iterations < 3:
        found.append(
            f"the loss failed to fall with fewer than 3 rounds (paper): --swav.sinkhorn-iterations "
            f"{swav.sinkhorn_iterations}"
        )
    return found


def _on_queue(config: RunConfig, batch: int, images: int) -> list[str]:
    length, start = config.swav.queue_length, config.swav.queue_start_epoch
    kept = length // batch * batch
    found = []
    if kept != length and kept:
        found.append(f"the queue holds {kept} embeddings, whole batches of {batch}: --swav.queue-length {length}")
    if kept > batch and start < 1:
        found.append(
            f"the queue fills from the first epoch on with embeddings of an untrained network; the loss may go back to "
            f"ln K (swav issues 56 and 69): --swav.queue-start-epoch {start:g}, the paper's is 15"
        )
    if kept and kept + batch > images:
        found.append(
            f"the queue is longer than the set, so a picture shares its code with older embeddings of itself: "
            f"--swav.queue-length {length} for {images} images"
        )
    return found


def _on_prototypes(config: RunConfig, batch: int, images: int) -> str:
    prototypes = max(config.model.heads)
    sharing = batch + config.swav.queue_length // batch * batch
    if images < _FEWEST_PICTURES * prototypes:
        return (
            f"{images} images are too few for {prototypes} prototypes (swav issues 62 and 78): --model.num-prototypes "
            f"{num_prototypes(Setting(batch=batch, images=images, epochs=1))}"
        )
    if _FEWEST_SHARE * sharing < prototypes:
        return (
            f"{sharing} images of batch and queue share {prototypes} prototypes, most of which stay empty (swav issue "
            f"118): a longer --swav.queue-length, or fewer --model.num-prototypes"
        )
    return ""
