"""The run on a terminal: a progress bar where there is one, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from swav_dali.watch.record import duration, shown
from swav_dali.watch.sinks.base import Event, Record


class _PipeConsole(Console):
    """rich ends the process when the reader of its pipe has gone; a training goes on without words."""

    def on_broken_pipe(self) -> None:
        with Path(os.devnull).open("w") as nowhere:  # or Python's own flush at the end fails once more
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise BrokenPipeError("no one reads standard output any more")


class ConsoleSink:
    """Writes to standard output; the bar counts steps."""

    def __init__(self, *, total_steps: int, start_step: int, epochs: int) -> None:
        """Show progress towards `total_steps` from `start_step` on."""
        self._console = _PipeConsole(highlight=False, soft_wrap=True)
        self._epochs = epochs
        self._total = total_steps
        self._progress = _progress(self._console) if sys.stdout.isatty() else None
        if self._progress is not None:
            self._task = self._progress.add_task("training", total=total_steps, completed=start_step, figures="")
            self._progress.start()

    def record(self, record: Record) -> None:
        """Move the bar, or print the record as a line; probe results always get a line."""
        if self._progress is not None and "loss" in record:
            self._progress.update(self._task, completed=float(record["step"]), figures=figures(record))
            if "knn_top1" not in record:
                return
        left = f"  {duration(float(record['seconds_left']))} left" if "seconds_left" in record else ""
        place = f"epoch {record['epoch']}/{self._epochs}  step {record['step']}/{self._total}"
        self._console.print(f"{place}  {figures(record)}{left}", markup=False)

    def event(self, event: Event) -> None:
        """Print the event's text."""
        prefix = "warning: " if event.kind == "warning" else ""
        self._console.print(prefix + event.text, markup=False)

    def close(self, *, failed: bool = False) -> None:
        """Take the bar down."""
        if self._progress is not None:
            self._progress.stop()


def figures(record: Record) -> str:
    """The record's figures that a person follows, in a fixed order."""
    text = {key: shown(key, float(value)) for key, value in record.items()}
    parts: list[str] = []
    if "loss" in record:
        parts.append(f"loss {text['loss']} (ln K {text['ln_k']})  lr {text['lr']}")
        parts.append(f"{text['images_per_second']}  data wait {text['data_wait_share']}")
    if "knn_top1" in record:
        parts.append(f"kNN top-1 {text['knn_top1']}")
    floors = {"knn_untrained": "untrained", "knn_pixels": "raw pixels"}
    known = [f"{name} {text[key]}" for key, name in floors.items() if key in record]
    if known:
        parts.append(f"kNN of {', '.join(known)}")
    return "  ".join(parts)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )
