"""kNN over the epochs as a picture: SVG, light enough for a repository and sharp at every size."""

from __future__ import annotations

from collections.abc import Sequence

from tests.learning.trial import Entry

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 300, 46, 36, 14, 120
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # Okabe and Ito's, told apart by the colour-blind


def draw_curves(entries: Sequence[Entry]) -> str:
    """An SVG document: a line per seed, raw pixels dashed."""
    epochs = max(entry["epochs"] for entry in entries)
    top = 10 * (max(max(vote for _, vote in entry["knn"]) for entry in entries) // 10 + 1)

    def across(epoch: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / epochs

    def up(percent: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * percent / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    ]
    for percent in range(0, int(top) + 1, 10):
        parts.append(f'<path d="M{_LEFT} {up(percent):.1f}H{across(epochs):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up(percent) + 4:.1f}" text-anchor="end">{percent}</text>')
    for epoch, _ in entries[0]["knn"]:
        parts.append(f'<text x="{across(epoch):.1f}" y="{_HEIGHT - 18}" text-anchor="middle">{epoch}</text>')
    parts.append(f'<text x="{across(epochs / 2):.1f}" y="{_HEIGHT - 3}" text-anchor="middle">epoch</text>')
    parts.append(f'<text x="{_LEFT}" y="11">kNN top-1, %</text>')
    pixels = entries[0]["pixels"]
    parts.append(f'<path d="M{_LEFT} {up(pixels):.1f}H{across(epochs):.1f}" stroke="#555" stroke-dasharray="5 4"/>')
    parts.append(f'<text x="{across(epochs) + 6:.1f}" y="{up(pixels) + 4:.1f}" fill="#555">raw pixels</text>')
    for place, entry in enumerate(entries):
        colour = _COLOURS[place % len(_COLOURS)]
        points = " ".join(f"{across(epoch):.1f},{up(vote):.1f}" for epoch, vote in entry["knn"])
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        label = f"seed {entry['seed']}: {entry['knn'][-1][1]:.1f}"
        parts.append(f'<text x="{across(epochs) + 6:.1f}" y="{_TOP + 10 + 15 * place}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])
