"""The panels of a report, drawn by bokeh: throughput, where the time goes, learning, health, machine.

Colours are legible on white and on black, so one page serves both; runs differ by colour, figures of one panel by dash.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import HoverTool, Range1d
from bokeh.plotting import figure

from swav_dali.watch.record import BY_KEY, PARTS
from swav_dali.watch.report.columns import Array, Curve
from swav_dali.watch.report.runs import RunData

COLOURS = ("#1f77b4", "#e6842a", "#2ca02c", "#d4504f", "#9467bd", "#17a0ae", "#b07aa1", "#8c8c3c", "#7f7f7f")
_DASHES = ("solid", "dashed", "dotted", "dotdash")
_INK = "#808890"
_PANELS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("Images per second, dashed: without data", "Throughput", ("images_per_second", "headspace_images_per_second")),
    ("Share of headspace", "Throughput", ("headspace_share",)),
    ("Data wait of the device, dashed: of the host", "Throughput", ("data_wait_share", "host_wait_share")),
    ("Loss, dashed: ln K", "Learning", ("loss", "ln_k")),
    ("kNN top-1, dashed: untrained, dotted: pixels", "Learning", ("knn_top1", "knn_untrained", "knn_pixels")),
    ("Learning rate", "Learning", ("lr",)),
    (
        "Evaluated: linear, dashed: kNN, dotted: few labels",
        "Learning",
        ("linear_top1", "knn_best_top1", "semisup_top1", "published_linear_top1"),
    ),
    ("Code entropy, dashed: ln K", "Health", ("code_entropy", "ln_k")),
    (
        "Prototypes used, dashed: perplexity, dotted: doubles",
        "Health",
        ("prototypes_used", "prototype_perplexity", "duplicate_prototypes"),
    ),
    ("Embedding spread", "Health", ("embedding_spread",)),
    ("RankMe", "Health", ("rankme",)),
    ("Gradient norm", "Health", ("grad_norm",)),
    ("GPU utilization, dashed: host CPU", "Machine", ("gpu_utilization", "host_cpu_share")),
    ("Memory of the processes, dashed: of the device", "Machine", ("rss_gib", "device_memory_gib")),
)


def draw_panels(runs: Sequence[RunData]) -> list[tuple[str, figure]]:
    """(group, figure) of every panel that some run has figures for, in the order of the page."""
    lines = [
        (group, _lines(title, keys, runs))
        for title, group, keys in _PANELS
        if any(keys[0] in run.curves for run in runs)
    ]
    stacks = [("Where the time goes", _step_time(run)) for run in runs if "data_ms" in run.curves]
    spreads = [("Where the time goes", _rank_spread(run)) for run in runs if "data_ms_min" in run.curves]
    return sorted([*lines, *stacks, *spreads], key=lambda panel: _ORDER.index(panel[0]))


_ORDER = ("Throughput", "Where the time goes", "Learning", "Health", "Machine")


def _lines(title: str, keys: tuple[str, ...], runs: Sequence[RunData]) -> figure:
    panel = _panel(title, BY_KEY[keys[0]].unit)
    drawn = [run.curves[key].values.max() for run in runs for key in keys if key in run.curves]
    if BY_KEY[keys[0]].unit == "share" and max(drawn) <= 1:
        panel.y_range = Range1d(0, 1.05)
    for colour, run in zip(_cycle(len(runs)), runs, strict=True):
        for dash, key in zip(_DASHES, keys, strict=False):
            if key in run.curves:
                curve = run.curves[key]
                draw = panel.scatter if len(curve.steps) == 1 else panel.line
                style = {} if len(curve.steps) == 1 else {"line_dash": dash, "line_width": 1.6}
                draw(curve.steps, curve.values, color=colour, name=f"{plain(run.name)} {key}", **style)
    return panel


def _step_time(run: RunData) -> figure:
    """The parts of a step on top of each other, up to its wall clock."""
    parts = [name for name in PARTS if name in run.curves]
    steps = run.curves[parts[0]].steps
    panel = _panel(f"Parts of a step: {plain(run.name)}", "ms")
    below = np.zeros(len(steps))
    for colour, name in zip(_cycle(len(parts)), parts, strict=True):
        above = below + _at(steps, run.curves[name])
        panel.varea(x=steps, y1=below, y2=above, color=colour, alpha=0.8, legend_label=name.removesuffix("_ms"))
        below = above
    if "seconds_per_step" in run.curves:
        wall = run.curves["seconds_per_step"]
        panel.line(wall.steps, 1000 * wall.values, color=_INK, line_width=1.6, legend_label="step", name="step")
    _place_legend(panel)
    return panel


def _rank_spread(run: RunData) -> figure:
    """From the fastest to the slowest rank, for the parts in which no rank waits for another."""
    panel = _panel(f"Fastest to slowest rank: {plain(run.name)}", "ms")
    for colour, name in zip(COLOURS, ("data_ms", "forward_ms", "optimizer_ms", "backward_ms"), strict=False):
        if f"{name}_max" in run.curves:
            low, high = run.curves[f"{name}_min"], run.curves[f"{name}_max"]
            label = name.removesuffix("_ms")
            panel.varea(
                x=low.steps, y1=low.values, y2=_at(low.steps, high), color=colour, alpha=0.35, legend_label=label
            )
            panel.line(high.steps, high.values, color=colour, name=f"{label}, slowest rank")
    _place_legend(panel)
    return panel


def _panel(title: str, unit: str) -> figure:
    panel = figure(
        title=title,
        height=230,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset",
        output_backend="canvas",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    panel.toolbar.logo = None
    panel.toolbar.autohide = True
    panel.add_tools(HoverTool(tooltips=[("", "$name"), ("step", "@x{0,0}"), ("", "@y")], mode="mouse"))
    panel.title.text_color = _INK
    panel.title.text_font_size = "11px"  # the longest fits a phone
    panel.yaxis.axis_label = unit or None
    for axis in (*panel.xaxis, *panel.yaxis):
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = _INK
        axis.major_label_text_color = axis.axis_label_text_color = _INK
    panel.grid.grid_line_color = _INK
    panel.grid.grid_line_alpha = 0.2
    return panel


def _place_legend(panel: figure) -> None:
    panel.legend.background_fill_alpha = 0.0
    panel.legend.border_line_color = None
    panel.legend.label_text_color = _INK
    panel.legend.label_text_font_size = "9px"
    panel.legend.spacing = 0
    panel.legend.padding = 0
    panel.legend.click_policy = "hide"
    panel.add_layout(panel.legend[0], "right")
    panel.height = 260


def _at(steps: Array, curve: Curve) -> Array:
    """The curve's values at other steps; curves are thinned one by one."""
    values: Array = np.interp(steps, curve.steps, curve.values)
    return values


def _cycle(count: int) -> tuple[str, ...]:
    return tuple(COLOURS[index % len(COLOURS)] for index in range(count))


def plain(text: str) -> str:
    """A name that bokeh draws letter by letter: two dollar signs would be set as mathematics."""
    return text.replace("$$", "$ $").replace("\\", "/")
