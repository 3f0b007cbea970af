"""A run's workspace in wandb: four sections of panels, made from the declarations of the figures.

The package wandb-workspaces describes itself as a preview and loses panels when it reads a workspace back, so one is
made fresh every time and never changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swav_dali.errors import ConfigError
from swav_dali.watch.record import BY_KEY, PARTS, grouped_name

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

PACKAGE = "wandb-workspaces"
SECTIONS: dict[str, Sequence[tuple[str, Sequence[str]]]] = {
    "Throughput": (
        ("Images per second, and without data", ("images_per_second", "headspace_images_per_second")),
        ("Share of headspace", ("headspace_share",)),
        ("Waiting for data: device, host", ("data_wait_share", "host_wait_share")),
        ("Images per second and rank", ("images_per_second_per_rank",)),
        ("Bytes per second: of tars, from storage", ("mb_per_second", "storage_mb_per_second")),
        ("Model FLOP/s utilization", ("mfu",)),
        ("GPU utilization, host CPU", ("gpu_utilization", "host_cpu_share", "other_cpu_share")),
        ("GPU power", ("gpu_power_watts",)),
        ("Memory: of the device, of the processes", ("device_memory_gib", "peak_memory_gib", "rss_gib")),
    ),
    "Where the time goes": (
        ("Parts of a step", PARTS),
        ("Seconds per step", ("seconds_per_step",)),
        ("Data: fastest to slowest rank", ("data_ms_min", "data_ms", "data_ms_max")),
        ("Forward: fastest to slowest rank", ("forward_ms_min", "forward_ms", "forward_ms_max")),
        ("Straggler score, 1 is even", ("straggler_score",)),
        ("Slowest rank", ("slowest_rank",)),
        ("CPU of the pipeline per image", ("pipeline_cpu_ms",)),
        ("Pipeline threads busy", ("pipeline_busy_share",)),
    ),
    "Learning": (
        ("Loss, and ln K of a model that has learnt nothing", ("loss", "ln_k")),
        ("kNN top-1, untrained, raw pixels", ("knn_top1", "knn_untrained", "knn_pixels")),
        ("Learning rate", ("lr",)),
        ("Evaluated top-1", ("linear_top1", "published_linear_top1", "semisup_top1", "knn_best_top1")),
    ),
    "Health": (
        ("Code entropy, and ln K", ("code_entropy", "ln_k")),
        (
            "Prototypes: used, perplexity, duplicates",
            ("prototypes_used", "prototype_perplexity", "duplicate_prototypes"),
        ),
        ("Share of the most popular prototype", ("top_prototype_share",)),
        ("RankMe", ("rankme",)),
        ("Embedding spread", ("embedding_spread",)),
        ("Gradient norm", ("grad_norm",)),
        ("Steps without effect", ("steps_skipped",)),
        ("Queue: filled", ("queue_fill", "queue_in_use")),
    ),
}
_STACKED = "Parts of a step"
_PICTURES = ("Pictures/crops", "Pictures/prototypes")


def make_workspace(*, run_name: str, run_id: str, project: str, entity: str) -> Workspace:
    """The workspace of one run; nothing is sent.

    Raises:
        ConfigError: the package that makes it is not installed.
    """
    try:
        from wandb_workspaces import workspaces
        from wandb_workspaces.reports import v2 as reports
    except ImportError as error:
        fix = "pip install 'swav-dali[dashboard]', or show the run with python -m swav_dali report"
        raise ConfigError("not installed", where=PACKAGE, found=error, fix=fix) from error
    sections = []
    for name, panels in SECTIONS.items():
        lines: list[Any] = [
            reports.LinePlot(
                title=title,
                x=grouped_name(BY_KEY[keys[0]].axis),
                y=[grouped_name(key) for key in keys],
                title_y=BY_KEY[keys[0]].unit or None,
                plot_type="stacked-area" if title == _STACKED else None,
            )
            for title, keys in panels
        ]
        if name == "Learning":
            lines.append(reports.MediaBrowser(title="Pictures", media_keys=list(_PICTURES)))
        sections.append(workspaces.Section(name=name, panels=lines, is_open=True, pinned=True))
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"swav-dali {run_name}",
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis=grouped_name("step")),
        runset_settings=workspaces.RunsetSettings(filters=[workspaces.Metric("ID") == run_id]),
    )


def as_json(workspace: Workspace) -> str:
    """What would be sent, as indented JSON."""
    model = workspace._to_model()  # the package shows its JSON nowhere else
    return json.dumps(json.loads(model.model_dump_json(by_alias=True)), indent=1)


def send_workspace(*, folder: Path, run_name: str, run_id: str, project: str, entity: str | None) -> str:
    """Make the workspace on the server; its address.

    Raises:
        ConfigError: no package, no login, or a server that does not take it.
    """
    from swav_dali.watch.sinks.wandb import login_is_found

    make_workspace(run_name=run_name, run_id=run_id, project=project, entity=entity or "")
    if not login_is_found():
        fix = "log in with `wandb login`, or look at it with --json"
        raise ConfigError("wandb has no login", where="--wandb", found=folder, fix=fix)
    import wandb

    try:
        owner = entity or str(wandb.Api(timeout=20).default_entity)
        workspace = make_workspace(run_name=run_name, run_id=run_id, project=project, entity=owner)
        return str(workspace.save().url)
    except Exception as error:  # wandb's, requests' and the package's own
        found = " ".join(str(error).split())
        raise ConfigError("the workspace was not made", where="--wandb", found=found) from error
