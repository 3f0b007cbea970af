"""The run in TensorBoard: event files under the run folder's tensorboard/, one more at each start."""

from __future__ import annotations

from pathlib import Path

from shards.errors import missing_package
from swav_dali.watch.record import grouped_name
from swav_dali.watch.sinks.base import Event, Record

FOLDER = "tensorboard"


class TensorBoardSink:
    """Draws every figure against the training step; a resumed run takes back what it does again."""

    def __init__(self, folder: Path, *, resume_step: int) -> None:
        """Open an event file; TensorBoard hides what earlier ones say of steps after `resume_step`.

        Raises:
            UserError: tensorboard is not installed.
            OSError: the folder cannot be written.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise missing_package("tensorboard", "--log.tensorboard", extra="tensorboard") from error
        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=resume_step + 1)

    def record(self, record: Record) -> None:
        """Add the numbers of a record under their groups, its words as text."""
        step = int(record["step"])
        for key, value in record.items():
            if isinstance(value, str):
                self._writer.add_text(grouped_name(key), value, step)
            else:
                self._writer.add_scalar(grouped_name(key), value, step)

    def event(self, event: Event) -> None:
        """Add an event as text."""
        self._writer.add_text(f"event/{event.kind}", event.text, event.step)

    def close(self, *, failed: bool = False) -> None:
        """Write what is left."""
        self._writer.close()
