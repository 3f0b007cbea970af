"""The run on standard output: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from swav_dali.watch.record import duration, shown
from swav_dali.watch.sinks.base import Event, Record
from swav_dali.watch.sinks.panel import LivePanel


class _PipeConsole(Console):
    """rich ends the process when the reader of its pipe has gone; a training goes on without words."""

    def on_broken_pipe(self) -> None:
        with Path(os.devnull).open("w") as nowhere:  # or Python's own flush at the end fails once more
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise BrokenPipeError("no one reads standard output any more")


class ConsoleSink:
    """Writes to standard output."""

    def __init__(self, *, total_steps: int, start_step: int, epochs: int) -> None:
        """Show progress towards `total_steps` from `start_step` on."""
        self._console = _PipeConsole(highlight=False, soft_wrap=True)
        self._epochs = epochs
        self._total = total_steps
        self._panel = None
        if self._console.is_terminal:
            self._panel = LivePanel(self._console, total_steps=total_steps, start_step=start_step, epochs=epochs)

    def record(self, record: Record) -> None:
        """Redraw the panel, or print the record as a line; probe results always get a line."""
        if self._panel is not None:
            self._panel.record(record)
            if "knn_top1" not in record:
                return
        left = f"  {duration(float(record['seconds_left']))} left" if "seconds_left" in record else ""
        place = f"epoch {record['epoch']}/{self._epochs}  step {record['step']}/{self._total}"
        self._console.print(f"{place}  {figures(record)}{left}", markup=False)

    def event(self, event: Event) -> None:
        """Print the event's text; the panel keeps the verdict in sight."""
        prefix = "warning: " if event.kind == "warning" else ""
        self._console.print(prefix + event.text, markup=False)
        if self._panel is not None and event.kind == "verdict":
            self._panel.verdict(event.text)

    def close(self, *, failed: bool = False) -> None:
        """Leave the last figures standing."""
        if self._panel is not None:
            self._panel.close()


def figures(record: Record) -> str:
    """The record's figures that a person follows, in a fixed order."""
    text = {key: shown(key, float(value)) for key, value in record.items()}
    parts: list[str] = []
    if "loss" in record:
        parts.append(f"loss {text['loss']} (ln K {text['ln_k']})  lr {text['lr']}")
        headspace = f" ({text['headspace_share']} of headspace)" if "headspace_share" in text else ""
        parts.append(f"{text['images_per_second']}{headspace}  data wait {text['data_wait_share']}")
    if "knn_top1" in record:
        parts.append(f"kNN top-1 {text['knn_top1']}")
    floors = {"knn_untrained": "untrained", "knn_pixels": "raw pixels"}
    known = [f"{name} {text[key]}" for key, name in floors.items() if key in record]
    if known:
        parts.append(f"kNN of {', '.join(known)}")
    return "  ".join(parts)
