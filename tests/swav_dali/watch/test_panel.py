"""The live panel keeps what a person follows in sight, and draws strings as they are."""

from __future__ import annotations

import io

from rich.console import Console

from swav_dali.watch.sinks.panel import LivePanel


def test_figures_of_older_records_stay_beside_the_newest() -> None:
    screen = io.StringIO()
    panel = LivePanel(Console(file=screen, force_terminal=True, width=110), total_steps=200, start_step=0, epochs=4)
    panel.record({"step": 50, "epoch": 1, "knn_top1": 0.5, "knn_untrained": 0.25})
    train = {"loss": 4.0, "ln_k": 4.16, "lr": 0.1, "images_per_second": 321.0, "seconds_left": 75.0}
    panel.record({"step": 100, "epoch": 2, "headspace_share": 0.93, "data_wait_share": 0.02, **train})
    panel.verdict("input-bound by [red]decode[/red]: why; try this")
    panel.close()
    last = screen.getvalue().rpartition("swav-dali")[2]
    for words in (
        "epoch 2/4  step 100/200  1m15s left",
        "321 images/s   93.0% of headspace   2.0% data wait",
        "4.0000   4.1600 ln K   0.1 learning rate",
        "50.0%   25.0% untrained",
        "input-bound by [red]decode[/red]: why; try this",
    ):
        assert words in last


def test_before_the_first_record_there_is_a_panel_already() -> None:
    screen = io.StringIO()
    LivePanel(Console(file=screen, force_terminal=True, width=80), total_steps=10, start_step=5, epochs=1).close()
    assert "step 5/10" in screen.getvalue()
