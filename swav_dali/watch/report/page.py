"""The page: one file with its script inside, that asks for nothing and reads well on a phone, on paper, in the dark."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from swav_dali.watch.pictures import Row
from swav_dali.watch.record import shown
from swav_dali.watch.report.plots import COLOURS, draw_panels
from swav_dali.watch.report.runs import RunData, read_run

_EVENTS = 200
_HEADLINES = (
    "step",
    "epoch",
    "images_per_second",
    "headspace_share",
    "data_wait_share",
    "loss",
    "ln_k",
    "knn_top1",
    "linear_top1",
    "knn_best_top1",
    "semisup_top1",
    "published_linear_top1",
    "seconds_left",
)
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:"
)
"""Even a script that got in could ask nobody for anything."""
_STYLE, _SCRIPT = Path(__file__).with_name("style.css"), Path(__file__).with_name("draw.js")


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Write the report of these runs to `out`, whole or not at all.

    Raises:
        ConfigError: a folder is no run.
        OSError: `out` cannot be written.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(render([read_run(folder) for folder in folders]), encoding="utf-8")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def render(runs: Sequence[RunData], *, refresh_seconds: int = 0) -> str:
    """The page of these runs; with `refresh_seconds` it loads itself again."""
    panels = draw_panels(runs)
    drawings = [components(panel, wrap_script=False) for _, panel in panels]
    divs = [div for _, div in drawings]
    groups = dict.fromkeys(group for group, _ in panels)
    placed = [(group, div) for (group, _), div in zip(panels, divs, strict=True)]
    refresh = f'<meta http-equiv="refresh" content="{refresh_seconds}">' if refresh_seconds else ""
    names = escape(", ".join(run.name for run in runs))
    sections = "".join(
        f'<h2>{group}</h2><div class="panels">'
        + "".join(f"<div>{div}</div>" for of, div in placed if of == group)
        + "</div>"
        for group in groups
    )
    heads = "".join(_head(run, COLOURS[index % len(COLOURS)], len(runs) > 1) for index, run in enumerate(runs))
    library = Resources(mode="inline", components=["bokeh"]).render_js()
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{names}</title>{refresh}'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE.read_text()}</style>{library}</head>"
        f"<body><h1>{names}</h1>{heads}{sections}{_pictures(runs)}{_events(runs)}{_config(runs)}"
        f'<p class="small">written {time.strftime("%Y-%m-%d %H:%M:%S %Z")}; steps on every horizontal axis</p>'
        f"{_lazy([script for script, _ in drawings])}</body></html>\n"
    )


def _lazy(scripts: Sequence[str]) -> str:
    """The panels' scripts, each run when its panel comes near the window, the others one by one when there is time.

    Nothing waits for panels that nobody sees; before printing the rest is drawn at once.
    """
    functions = ",\n".join(f"() => {{{script}}}" for script in scripts)
    return f"<script>const drawings = [{functions}];\n{_SCRIPT.read_text(encoding='utf-8')}</script>"


def _pictures(runs: Sequence[RunData]) -> str:
    return "".join(
        f'<h2>{escape(gallery.title)}: {escape(run.name)}</h2><div class="pictures">'
        + "".join(_figure(row) for row in gallery.rows)
        + "</div>"
        for run in runs
        for gallery in run.galleries
    )


def _figure(row: Row) -> str:
    data = base64.b64encode(row.jpeg).decode()
    caption = escape(row.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _head(run: RunData, colour: str, has_others: bool) -> str:
    figures = "".join(
        f"<span>{escape(key.replace('_', ' '))} <b>{escape(shown(key, run.latest[key]))}</b></span>"
        for key in _HEADLINES
        if key in run.latest
    )
    name = f"<div>{escape(run.name)}</div>" if has_others else ""
    return (
        f'<div class="run" style="border-color:{colour}">{name}'
        f'<div class="verdict">{escape(run.verdict)}</div><div class="figures">{figures}</div></div>'
    )


def _events(runs: Sequence[RunData]) -> str:
    """The newest first, with the run's name where there are several."""
    events = sorted(((event, run.name) for run in runs for event in run.events), key=lambda pair: _time(pair[0]))
    names = len(runs) > 1
    rows = (
        (_clock(event), *([name] if names else []), *(event.get(key) for key in ("kind", "step", "text")))
        for event, name in events[-_EVENTS:][::-1]
    )
    head = ("time", *(["run"] if names else []), "kind", "step", "what")
    return f'<h2>Events</h2><div class="events">{_table(head, rows)}</div>'


def _config(runs: Sequence[RunData]) -> str:
    """Every option, those that differ between the runs in bold."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    rows = [(key, *(run.config.get(key, "") for run in runs)) for key in keys]
    table = _table(("option", *(run.name for run in runs)), rows, marks_differences=True)
    return f"<h2>Configuration</h2><details open><summary>options</summary>{table}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, marks_differences: bool = False) -> str:
    body = []
    for row in rows:
        is_other = marks_differences and len(set(map(str, row[1:]))) > 1
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        body.append(f'<tr class="other">{cells}</tr>' if is_other else f"<tr>{cells}</tr>")
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f'<div class="wide"><table><tr>{titles}</tr>{"".join(body)}</table></div>'


def _time(event: dict[str, Any]) -> float:
    found = event.get("time")
    return float(found) if isinstance(found, int | float) else 0.0


def _clock(event: dict[str, Any]) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(_time(event)))
