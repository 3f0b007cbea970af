"""The live panel of a terminal: progress, time left, rate and its share of the headspace, loss, kNN, verdict."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swav_dali.watch.record import duration, shown
from swav_dali.watch.sinks.base import Record

_ROWS = (
    ("speed", ("images_per_second", "headspace_share", "data_wait_share")),
    ("loss", ("loss", "ln_k", "lr")),
    ("kNN top-1", ("knn_top1", "knn_untrained", "knn_pixels")),
    ("health", ("prototypes_used", "rankme", "grad_norm")),
)
_WORDS = {
    "images_per_second": "",
    "headspace_share": "of headspace",
    "data_wait_share": "data wait",
    "loss": "",
    "ln_k": "ln K",
    "lr": "learning rate",
    "knn_top1": "",
    "knn_untrained": "untrained",
    "knn_pixels": "raw pixels",
    "prototypes_used": "of prototypes used",
    "rankme": "RankMe",
    "grad_norm": "gradient norm",
}


class LivePanel:
    """Redrawn at every record, by no thread of its own; what is printed meanwhile scrolls above it."""

    def __init__(self, console: Console, *, total_steps: int, start_step: int, epochs: int) -> None:
        """Show a run that stands at `start_step`."""
        self._total, self._epochs = total_steps, epochs
        self._latest: dict[str, float] = {"step": start_step, "epoch": 0}
        self._verdict = "the first verdict comes with the second record"
        self._live = Live(self._draw(), console=console, auto_refresh=False)
        self._live.start(refresh=True)

    def record(self, record: Record) -> None:
        """Take over the record's figures; those of older records stay."""
        self._latest |= {key: float(value) for key, value in record.items()}
        self._live.update(self._draw(), refresh=True)

    def verdict(self, text: str) -> None:
        """Show another verdict."""
        self._verdict = text
        self._live.update(self._draw(), refresh=True)

    def close(self) -> None:
        """Leave the panel as it is."""
        self._live.stop()

    def _draw(self) -> Panel:
        latest = self._latest
        left = f"  {duration(latest['seconds_left'])} left" if "seconds_left" in latest else ""
        place = f"epoch {latest['epoch']:.0f}/{self._epochs}  step {latest['step']:.0f}/{self._total}{left}"
        rows = Table.grid(padding=(0, 2))
        for title, keys in _ROWS:
            told = [f"{shown(key, latest[key])} {_WORDS[key]}".strip() for key in keys if key in latest]
            if told:
                rows.add_row(Text(title, style="dim"), Text("   ".join(told)))
        bar = Table.grid(expand=True)  # on its own the bar ends without a new line
        bar.add_row(ProgressBar(total=self._total, completed=latest["step"]))
        return Panel(Group(Text(place), bar, rows, Text(self._verdict, style="bold")), title="swav-dali")
