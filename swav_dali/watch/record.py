"""Every figure of a run, declared once: its name, unit, group, axis, how ranks combine and what it means.

metrics.jsonl, the table in docs/figures.md, wandb's axes and the console read these declarations; a figure that is not
declared cannot be recorded. What a rank offers are `Local` values; `combine` makes one record of those of all ranks.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Local = Mapping[str, Tensor | float]
"""What one rank has to say: device scalars or host numbers by figure name; NaN where it cannot tell."""
Gathered = Mapping[str, Sequence[float]]
"""Every rank's value of every figure, in the order of the ranks."""
Axis = Literal["step", "images_seen", "epoch"]
Best = Literal["last", "min", "max"]
"""What a run is remembered by: `last` alone, or the extreme beside it."""
Combine = Literal["same", "sum", "mean", "max", "spread"]
"""`same`: equal on all ranks, rank 0 tells. `spread`: the median, and with several ranks NAME_min and NAME_max."""
Group = Literal["Place", "Learning", "Evaluation", "Throughput", "Where the time goes", "Health", "Machine"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure's declaration.

    Attributes:
        name: key in metrics.jsonl.
        unit: of the value; empty for a pure number.
        group: panel it is shown under.
        combine: how the ranks' values become one.
        help: what it means, for docs/figures.md.
        axis: what it is drawn against.
        best: what of it stands in a run's summary.
    """

    name: str
    unit: str
    group: Group
    combine: Combine
    help: str
    axis: Axis = "step"
    best: Best = "last"

    def record_keys(self) -> tuple[str, ...]:
        """The keys a record may hold it under."""
        spread = (f"{self.name}_min", f"{self.name}_max") if self.combine == "spread" else ()
        return (self.name, *spread)


FIGURES = (
    Figure("step", "steps", "Place", "same", "steps done"),
    Figure("epoch", "epochs", "Place", "same", "epoch the step belongs to; 0 is before training"),
    Figure("images_seen", "images", "Place", "same", "images trained on, over all ranks and resumes"),
    Figure("seconds", "s", "Place", "same", "training time over all resumes, without checkpoints and probes"),
    Figure("loss", "nats", "Learning", "mean", "mean since the last record", "images_seen", "min"),
    Figure("ln_k", "nats", "Learning", "same", "the loss of predictions that say nothing", "images_seen"),
    Figure("steps_skipped", "steps", "Health", "same", "steps without effect: a loss or gradient was not finite"),
    Figure("lr", "", "Learning", "same", "learning rate of the last step", "images_seen"),
    Figure("loss_scale", "", "Learning", "same", "factor on the loss that float16 gradients bear; float16 only"),
    Figure("steps_overflowed", "steps", "Health", "same", "steps left out to find that factor; float16 only"),
    Figure("queue_in_use", "", "Learning", "same", "1 once the queue is full", "images_seen"),
    Figure(
        "knn_top1",
        "share",
        "Learning",
        "same",
        "accuracy of a weighted vote of neighbours, frozen features",
        "epoch",
        "max",
    ),
    Figure("knn_untrained", "share", "Learning", "same", "the same vote on the untrained network's features", "epoch"),
    Figure("knn_pixels", "share", "Learning", "same", "the same vote on raw 32-pixel images", "epoch"),
    *(
        Figure(f"{name}_top{top}", "share", "Evaluation", "same", f"{what}, {few}", "epoch", "max")
        for name, what in (
            ("linear", "`evaluate linear`: accuracy of the best head on frozen features"),
            ("published_linear", "`evaluate linear --published`: one head on random crops"),
            ("semisup", "`evaluate semisup`: fine-tuned with few labels"),
        )
        for top, few in ((1, "top-1"), (5, "top-5, or of all classes where they are fewer"))
    ),
    Figure("semisup_labelled_images", "images", "Evaluation", "same", "images whose labels were used there", "epoch"),
    Figure("knn_best_top1", "share", "Evaluation", "same", "`evaluate knn`: the best number of voters", "epoch", "max"),
    Figure("knn_best_neighbours", "", "Evaluation", "same", "that number", "epoch"),
    Figure("images_per_second", "images/s", "Throughput", "sum", "over all ranks, since the last record", best="max"),
    Figure("images_per_second_per_rank", "images/s", "Throughput", "mean", "the same per rank, which is per device"),
    Figure(
        "headspace_images_per_second", "images/s", "Throughput", "same", "the model alone, on a batch that is there"
    ),
    Figure("headspace_share", "share", "Throughput", "same", "images_per_second as a share of that", best="max"),
    Figure("crops_per_second", "crops/s", "Throughput", "sum", "crops trained on"),
    Figure("mb_per_second", "MB/s", "Throughput", "sum", "bytes of the tars that the images came from"),
    Figure("storage_mb_per_second", "MB/s", "Throughput", "sum", "fetched from storage, not from the page cache"),
    Figure(
        "model_tflops", "TFLOP/s", "Throughput", "sum", "arithmetic of the model, backward counted as twice forward"
    ),
    Figure(
        "mfu", "share", "Throughput", "mean", "that as a share of the device's dense bfloat16 peak, where it is known"
    ),
    Figure("seconds_per_step", "s", "Throughput", "max", "wall clock of a step since the last record"),
    Figure("epoch_seconds_left", "s", "Throughput", "max", "to the end of the epoch at this pace"),
    Figure("seconds_left", "s", "Throughput", "max", "to the end of the run at this pace"),
    Figure("samples_replaced", "images", "Throughput", "sum", "undecodable pictures that others stood in for"),
    Figure(
        "data_wait_share",
        "share",
        "Where the time goes",
        "spread",
        "share of the time the device went without a batch, or made its crops; on a CPU, the host's wait",
    ),
    Figure(
        "host_wait_share", "share", "Where the time goes", "spread", "share of the time the host waited for a batch"
    ),
    Figure("data_ms", "ms", "Where the time goes", "spread", "per step: the device goes without a batch, or crops it"),
    Figure("forward_ms", "ms", "Where the time goes", "spread", "per step: trunk, head and scores"),
    Figure("codes_ms", "ms", "Where the time goes", "spread", "per step: queue and Sinkhorn with its all-reduces"),
    Figure("loss_ms", "ms", "Where the time goes", "spread", "per step: swapped loss"),
    Figure("backward_ms", "ms", "Where the time goes", "spread", "per step: backward with the gradients' all-reduce"),
    Figure("optimizer_ms", "ms", "Where the time goes", "spread", "per step: the update of the weights"),
    Figure(
        "collectives_ms",
        "ms",
        "Where the time goes",
        "spread",
        "of codes and backward, per step: waiting for other ranks and the network; the least is the network's",
    ),
    Figure("log_ms", "ms", "Where the time goes", "spread", "per step: records like this one, spread over the window"),
    Figure("checkpoint_ms", "ms", "Where the time goes", "spread", "per step: checkpoints, spread over the window"),
    Figure(
        "straggler_score",
        "",
        "Where the time goes",
        "same",
        "work of the other ranks by that of the slowest; 1 is even",
    ),
    *(
        Figure(
            f"{part}_straggler_score", "", "Where the time goes", "same", f"the same for {what}: others by the slowest"
        )
        for part, what in (
            ("data", "getting a batch"),
            ("forward", "the forward"),
            ("loss", "the loss"),
            ("backward", "the backward without the all-reduce"),
            ("optimizer", "the update of the weights"),
        )
    ),
    Figure("slowest_rank", "", "Where the time goes", "same", "the rank whose own work takes longest"),
    Figure("pipeline_busy_share", "share", "Where the time goes", "mean", "its CPU threads work, or want a core"),
    Figure("pipeline_cpu_ms", "ms", "Where the time goes", "mean", "CPU time of those threads per image"),
    Figure("loop_crowded_share", "share", "Where the time goes", "spread", "training lacks a core that others hold"),
    Figure("pipeline_crowded_share", "share", "Where the time goes", "spread", "the same for the pipeline's threads"),
    Figure("code_entropy", "nats", "Health", "same", "mean entropy of the codes; ln K means they say nothing"),
    Figure(
        "prototypes_used", "share", "Health", "same", "share of the prototypes that won an image since the last record"
    ),
    Figure("prototype_perplexity", "share", "Health", "same", "how evenly they win, as a share of K; 1 is all alike"),
    Figure("top_prototype_share", "share", "Health", "same", "share of the images that the most popular prototype won"),
    Figure("duplicate_prototypes", "share", "Health", "same", "share within a cosine of 0.99 of an earlier one"),
    Figure("embedding_spread", "", "Health", "same", "1 is spread over the sphere, 0 is collapsed"),
    Figure("rankme", "", "Health", "same", "dimensions in use: exp of the entropy of the embeddings' singular values"),
    Figure("grad_norm", "", "Health", "same", "mean L2 norm of the gradient"),
    Figure("update_ratio", "", "Health", "same", "length of the last step's change of all weights by their length"),
    Figure("queue_fill", "share", "Health", "same", "rows of the queue that hold an embedding"),
    Figure("queue_age_steps", "", "Health", "same", "steps since its oldest row"),
    Figure("peak_memory_gib", "GiB", "Machine", "max", "most that torch held on a CUDA device", best="max"),
    Figure("device_memory_gib", "GiB", "Machine", "max", "in use on a CUDA device, by torch, DALI and all", best="max"),
    Figure("beside_torch_memory_gib", "GiB", "Machine", "max", "of that, DALI's, NCCL's, the context's, others'"),
    Figure("allocator_retries", "", "Machine", "sum", "times torch's allocator had to free and try again"),
    Figure("gpu_utilization", "share", "Machine", "mean", "by NVML"),
    Figure("gpu_power_watts", "W", "Machine", "sum", "by NVML"),
    Figure("host_cpu_share", "share", "Machine", "spread", "of a rank's machine, whoever uses it"),
    Figure("other_cpu_share", "share", "Machine", "max", "of the machine, used by processes that are not this run's"),
    Figure("cpu_cores", "", "Machine", "sum", "cores that the ranks used"),
    Figure("rss_gib", "GiB", "Machine", "sum", "memory of the ranks' processes", best="max"),
    Figure("host_memory_share", "share", "Machine", "max", "of a machine's memory, whoever uses it"),
)
WITHIN_PARTS = ("collectives_ms",)
"""Times that are within those of the parts."""
PARTS = tuple(
    figure.name
    for figure in FIGURES
    if figure.combine == "spread" and figure.unit == "ms" and figure.name not in WITHIN_PARTS
)
"""The parts of a step; see swav_dali.watch.spans."""
BY_NAME: Mapping[str, Figure] = {figure.name: figure for figure in FIGURES}
BY_KEY: Mapping[str, Figure] = {key: figure for figure in FIGURES for key in figure.record_keys()}


def combine(gathered: Gathered) -> dict[str, float]:
    """One record of all ranks' values, each figure combined as it is declared.

    A rank's NaN is left out; a figure that no rank can tell is left out of the record. What counts whole things stays
    an integer.

    Raises:
        KeyError: a figure that is not declared.
    """
    return {key: value for name, values in gathered.items() for key, value in _combined(BY_NAME[name], values)}


def grouped_name(key: str) -> str:
    """The key under its group, `Learning/loss`, for dashboards that make a panel of what stands before the slash."""
    return f"{BY_KEY[key].group}/{key}"


def shown(key: str, value: float) -> str:
    """A value as a person reads it: a share in percent, the rest with its unit."""
    unit = BY_KEY[key].unit
    match unit:
        case "share":
            return f"{100 * value:.1f}%"
        case "nats":
            return f"{value:.4f}"
        case "":
            return f"{value:.4g}"
        case "steps" | "epochs":
            return f"{value:.0f}"
        case "images" | "images/s" | "crops/s":
            return f"{value:.0f} {unit}"
        case "s" if value >= 60:
            return duration(value)
        case _:
            return f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def markdown_table() -> str:
    """The table of keys in docs/figures.md, one row a figure, group by group."""
    rows = [f"| `{figure.name}` | {figure.unit} | {figure.combine} | {figure.help} |" for figure in FIGURES]
    return "\n".join(["| key in metrics.jsonl | unit | over ranks | meaning |", "|---|---|---|---|", *rows])


def _combined(figure: Figure, values: Sequence[float]) -> Iterator[tuple[str, float]]:
    told = [value for value in values if not math.isnan(value)]
    if not told:
        return
    yield figure.name, _whole(figure, _middle(figure, told))
    if figure.combine == "spread" and len(values) > 1:
        yield f"{figure.name}_min", min(told)
        yield f"{figure.name}_max", max(told)


def _middle(figure: Figure, values: Sequence[float]) -> float:
    match figure.combine:
        case "same":
            return values[0]
        case "sum":
            return sum(values)
        case "mean":
            return sum(values) / len(values)
        case "max":
            return max(values)
        case "spread":
            return statistics.median(values)


def _whole(figure: Figure, value: float) -> float:
    return round(value) if figure.unit in ("steps", "epochs", "images") else value
