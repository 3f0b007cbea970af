"""The figures as the sentences a README can carry; what was not found is said to be missing, never guessed."""

from __future__ import annotations

from typing import Any

from swav_dali.gpu_check.figures import FIGURES
from swav_dali.gpu_check.record import Record

GOALS = {"share of synthetic input": 0.97, "device wait": 0.02}
_WAYS = ("ways to train", "stop for a checkpoint")
_WORDS = {"gpu": "crops by gpu", "cpu": "crops by cpu", "dali": "crops by dali"}


def sentences(record: Record) -> list[str]:
    """What was found, most important first."""
    missing = [figure.name for figure in FIGURES if record.value(figure.name) is None]
    lines = [
        _machine(record),
        *[line for batch in ("big", "small", "huge") for line in _training(record, batch)],
        *_choice(record),
        *_crops(record),
        *_bits(record),
        *_rest(record),
    ]
    if missing:
        lines.append(f"Not found: {'; '.join(missing)}.")
    return lines


def _machine(record: Record) -> str:
    found = record.value("machine")
    if found is None:
        return "The machine is unknown."
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"Measured on {found['device']} with {found['cores']} cores; {versions}."


def _training(record: Record, batch: str) -> list[str]:
    """A line per way to make the crops, beside synthetic input at the same batch."""
    synthetic = record.value(f"training, {batch} batch, synthetic input")
    if synthetic is None:
        return []
    rate = synthetic["images_per_second"]
    lines = [f"Batch {synthetic['batch']}: {rate:.0f} images/s on synthetic input{_memory(synthetic)}."]
    for words in _WORDS.values():
        found = record.value(f"training, {batch} batch, {words}")
        if found is None:
            continue
        share = found["images_per_second"] / rate
        lines.append(
            f"Batch {found['batch']}, {words}: {found['images_per_second']:.0f} images/s, {100 * share:.1f} % of "
            f"synthetic input; device wait {_percent(found['device_wait_share'])}, host wait "
            f"{_percent(found['host_wait_share'])}{_memory(found)}.{_short(words, share, found)}"
        )
    return lines


def _short(words: str, share: float, found: dict[str, Any]) -> str:
    """What a figure of the default path misses of its goal."""
    if words != _WORDS["gpu"] or found["device_wait_share"] is None:
        return ""
    missed = [
        *(
            [f"below {100 * GOALS['share of synthetic input']:.0f} %"]
            if share < GOALS["share of synthetic input"]
            else []
        ),
        *(["device wait above 2 %"] if found["device_wait_share"] > GOALS["device wait"] else []),
    ]
    return f" Falls short: {', '.join(missed)}." if missed else " Reaches the goals."


def _choice(record: Record) -> list[str]:
    """Which of the two exact ways to choose here, and what each takes at that speed."""
    found = {by: record.value(f"training, big batch, {_WORDS[by]}") for by in ("gpu", "cpu")}
    if None in found.values():
        return []
    best = max(found, key=lambda by: float(found[by]["images_per_second"]))
    rate = found[best]["images_per_second"]
    costs = {by: _cost(record, by, rate) for by in found}
    told = "; ".join(f"{by} takes {cost}" for by, cost in costs.items() if cost)
    return [f"Choose --data.crops-by {best} here. At {rate:.0f} images/s {told}."]


def _cost(record: Record, by: str, rate: float) -> str:
    alone, crops = record.value(f"loader alone, {_WORDS[by]}"), record.value("crops alone")
    cores = [f"{alone['cpu_ms_per_image'] * rate / 1000:.1f} cores"] if alone is not None else []
    share = (
        [f"{crops['microseconds_per_image'] * rate / 1e4:.1f} % of the device's time"]
        if by == "gpu" and crops is not None
        else []
    )
    return " and ".join([*share, *cores])


def _crops(record: Record) -> list[str]:
    lines = []
    parity = record.value("parity with the CPU, levels")
    if parity is not None:
        most = {
            name: [max(group[key] for group in groups) for key in ("max", "mean")] for name, groups in parity.items()
        }
        parts = [f"{name}: max {top:.0f}, mean {mean:.4f}" for name, (top, mean) in most.items()]
        lines.append(f"Levels of 255 apart from crops made on the CPU: {'; '.join(parts)}.")
    rates = [
        f"{words} {each['images_per_second']:.0f}"
        for words, each in ((words, record.value(f"loader alone, {words}")) for words in _WORDS.values())
        if each is not None
    ]
    if rates:
        lines.append(f"The loader alone, images/s: {', '.join(rates)}.")
    loads = [
        f"{load} {each['images_per_second']:.0f}"
        for load in (0.0, 0.65, 1.0)
        if (each := record.value(f"decoding alone, engine load {load}")) is not None
    ]
    return [*lines, f"Decoding alone by load of the JPEG engine, images/s: {', '.join(loads)}."] if loads else lines


def _most(groups: list[dict[str, float]], key: str) -> float:
    return max(group[key] for group in groups)


def _bits(record: Record) -> list[str]:
    lines = []
    repeated = record.value("same batch twice, and after resume")
    if repeated is not None:
        bad = [f"{by} {what}" for by, each in repeated.items() for what, is_same in each.items() if not is_same]
        lines.append(
            f"Bits that differ: {', '.join(bad)}." if bad else "Batches have the same bits twice and after resume."
        )
    resumed = record.value("trainer killed and resumed")
    if resumed is not None:
        same = resumed["same_losses"] and resumed["same_weights"]
        words = "has the bits of" if same else "DIFFERS from"
        lines.append(f"A run killed after step {resumed['killed_after_step']} and resumed {words} one left alone.")
    steps = record.value("six deterministic steps twice")
    if steps is not None:
        words = "have the same bits" if steps["same_bits"] else "DIFFER"
        lines.append(f"Six steps with --deterministic, twice, {words}.")
    return lines


def _rest(record: Record) -> list[str]:
    lines = []
    for name in ("parts of a step, ms", "trunk eager and compiled, ms", "BatchNorm and SyncBatchNorm, ms", *_WAYS):
        found = record.value(name)
        if found is not None:
            lines.append(f"{name}: {', '.join(f'{key} {value}' for key, value in found.items())}.")
    damaged = {
        figure.keywords["kind"]: record.value(figure.name)
        for figure in FIGURES
        if figure.name.startswith("damaged JPEG")
    }
    told = [f"{kind}: {each['outcome']}" for kind, each in damaged.items() if each is not None]
    if told:
        lines.append(f"Damaged JPEGs: {'; '.join(told)}.")
    tests = record.value("gpu tests")
    if tests is not None:
        lines.append(f"gpu tests: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped.")
    return lines


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f} %"


def _memory(found: dict[str, Any]) -> str:
    if "device_used_gib" not in found:
        return ""
    return f"; {found['device_used_gib']:.1f} GiB of the device in use, {found['torch_peak_gib']:.1f} of them torch's"
