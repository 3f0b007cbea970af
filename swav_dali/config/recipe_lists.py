"""The recipes as a person reads them: a list for the terminal, a table for docs/recipes.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.recipes import sizes_text
from swav_dali.config.presets import RECIPES
from swav_dali.config.recipes import Recipe

_WIDTH = 22
_HEADS = ("recipe", "network", "crops", "ranks x batch", "lr, final", "warm-up", "queue", "frozen", "K", "epochs")
_LAST_HEADS = ("published top-1, %", "source of the numbers")


def recipe_list() -> str:
    """Every recipe: what it is, what is published of it, for how many ranks, and the source of its numbers."""
    lines = ["recipes; accuracies are what their sources publish, top-1 in percent, and not measured here", ""]
    for row in RECIPES.values():
        lines.append(f"{row.name:<{_WIDTH}}{row.what}")
        about = (row.accuracy or "nothing published", _place(row), row.source)
        lines.append(" " * _WIDTH + "; ".join(about))
    return "\n".join(lines)


def markdown_table() -> str:
    """The recipes with the numbers that tell them apart, as in docs/recipes.md."""
    rows = [_HEADS + _LAST_HEADS, *map(_cells, RECIPES.values())]
    return "\n".join(_markdown(rows))


def _cells(row: Recipe) -> tuple[str, ...]:
    config = row.config()
    model, optim, swav = config.model, config.optim, config.swav
    return (
        f"`{row.name}`",
        model.arch + (", 3x3 stem" if model.small_stem else "") + ("" if model.head_norm else ", head without norm"),
        sizes_text(config.data.crops),
        _place(row),
        f"{optim.base_lr:g}, {optim.final_lr:g}" + ("" if optim.optimizer == "larc" else f" {optim.optimizer}"),
        f"{optim.warmup_epochs:g} from {optim.start_lr:g}" if optim.warmup_epochs else "none",
        f"{swav.queue_length} from epoch {swav.queue_start_epoch:g}" if swav.queue_length else "none",
        str(swav.freeze_prototypes_steps),
        " + ".join(map(str, model.heads)),
        str(optim.epochs),
        row.accuracy,
        row.source,
    )


def _place(row: Recipe) -> str:
    batch = row.config().data.batch_size
    return f"{row.ranks} x {batch}"


def _markdown(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for number, cells in enumerate(rows):
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            yield "|" + "---|" * len(cells)
