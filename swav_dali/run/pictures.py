"""When pictures of a run are drawn, by rank 0 alone: crops of its first batch, prototypes at kNN epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.batch import MultiCropBatch
from swav_dali.config.log import PicturesMode
from swav_dali.evaluate.probe import KnnProbe
from swav_dali.evaluate.prototype_pictures import draw_prototypes
from swav_dali.model.net import SwavNet
from swav_dali.watch.pictures import CROPS, FOLDER, Gallery, draw_crops, write_gallery
from swav_dali.watch.sinks.base import Event
from swav_dali.watch.watch import Watch

_CROPPED = 5


class Pictures:
    """Draws what is due into the run folder; a disk that does not take it costs the picture, not the run."""

    def __init__(
        self, folder: Path, mode: PicturesMode, mean: tuple[float, ...], std: tuple[float, ...], *, is_new: bool
    ) -> None:
        """Draw into `folder`; crops once in a run's life, unless it is started over."""
        self._folder, self._mean, self._std = folder, mean, std
        self.crops_are_due = mode != "off" and (is_new or not (folder / CROPS).exists())
        self._draws_prototypes = mode == "prototypes"

    def crops(self, batch: MultiCropBatch, watch: Watch, *, step: int) -> None:
        """Draw crops of the batch's first pictures."""
        self.crops_are_due = False
        groups = [group[:_CROPPED] for group in batch.groups]
        self._keep(CROPS, watch, step, lambda: draw_crops(groups, self._mean, self._std, step=step))

    def prototypes(self, model: SwavNet, probe: KnnProbe, watch: Watch, *, step: int, epoch: int) -> None:
        """Draw the prototypes' nearest validation pictures, if that is asked for."""
        if self._draws_prototypes:
            name = f"{FOLDER}/prototypes-epoch-{epoch:04d}.json"
            batches = probe.validation_images()
            self._keep(name, watch, step, lambda: draw_prototypes(model, batches, self._mean, self._std, step=step))

    def _keep(self, name: str, watch: Watch, step: int, draw: Callable[[], Gallery]) -> None:
        path = self._folder / name
        try:
            with watch.paused():
                gallery = draw()
                write_gallery(gallery, path)
        except OSError as error:
            watch.event(Event("warning", step, f"no pictures: {path} cannot be written: {error}"))
            return
        watch.event(Event("pictures", step, f"pictures: {gallery.title}", str(path)))
