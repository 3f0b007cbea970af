"""Run folders of a long training: as many records as wanted, patterned on those of a real run of two ranks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from swav_dali.watch.record import BY_NAME

PATTERN = json.loads(
    """{"epoch": 3, "images_seen": 6784, "seconds": 390.643, "ln_k": 3.4657359027997265, "lr": 0.0016948916405215837,
"queue_in_use": 0.0, "queue_fill": 0.0, "queue_age_steps": 0.0, "epoch_seconds_left": 61.753141509998386,
"seconds_left": 975.6996358579745, "code_entropy": 2.910121440887451, "prototypes_used": 0.90625,
"prototype_perplexity": 0.6922395039508598, "top_prototype_share": 0.1328125, "duplicate_prototypes": 0.0,
"embedding_spread": 0.39291678379326855, "rankme": 8.772070643566096, "grad_norm": 0.5571026802062988,
"loss": 3.355088233947754, "images_per_second": 51.81922606288607, "seconds_per_step": 1.2350628301999677,
"samples_replaced": 0, "steps_skipped": 0, "images_per_second_per_rank": 25.90961303144303,
"crops_per_second": 310.91531535637642, "mb_per_second": 2.6992095936206295, "model_tflops": 0.019320409586074695,
"data_wait_share": 0.0071886622101002104, "host_wait_share": 0.0071985050343493027, "data_ms": 8.878448001269135,
"forward_ms": 419.2107391498212, "codes_ms": 16.208425450167852, "loss_ms": 4.34283905015036,
"backward_ms": 632.0594583999991, "optimizer_ms": 144.76154780004435, "log_ms": 7.752473000437021,
"collectives_ms": 12.406173501, "host_cpu_share": 0.97, "other_cpu_share": 0.0902650642752182,
"loop_crowded_share": 0.0384354668945064, "pipeline_crowded_share": 0.02472180744714439,
"cpu_cores": 1.21946987144956354, "rss_gib": 3.841156005859375, "host_memory_share": 0.34131645314446346,
"storage_mb_per_second": 0.0, "pipeline_busy_share": 0.02918705393249092, "pipeline_cpu_ms": 1.1191499999999994,
"update_ratio": 0.0014477992663159966, "headspace_images_per_second": 54.406523812069487,
"headspace_share": 0.95969278042960645, "straggler_score": 0.93, "slowest_rank": 1}"""
)
"""A record as `python train.py demo` writes it, without its step."""
SPIKES = {"loss": 7.5, "images_per_second": 0.125, "grad_norm": 812.25, "data_ms": 9000.5}
"""One record alone has these."""
_TAILS = 2000


def write_long_run(folder: Path, records: int, *, seed: int) -> dict[int, dict[str, float]]:
    """Write `records` records, one a step, with noise of their own, and say in which step each of SPIKES stands.

    Only the first keys of a record are its own, the others repeat every _TAILS records: to draw 10 million random
    numbers and print them takes longer than to read them.
    """
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    spikes = dict(
        zip(generator.choice(np.arange(2, records), len(SPIKES), replace=False).tolist(), SPIKES, strict=True)
    )
    tails = [json.dumps(_noisy(generator))[1:] for _ in range(min(records, _TAILS))]
    own = {step: {key: SPIKES[key]} for step, key in spikes.items()}
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, records + 1):
            if step in own:
                file.write(json.dumps({**_noisy(generator), "step": step, **own[step]}) + "\n")
            else:
                loss = 3.5 - 2 * step / records + 0.1 * generator.random()
                file.write(f'{{"step": {step}, "loss": {loss}, {tails[step % len(tails)]}\n')
    (folder / "events.jsonl").write_text("")
    (folder / "config.json").write_text(json.dumps({"name": folder.name}))
    return own


def _noisy(generator: np.random.Generator) -> dict[str, float]:
    """The pattern without its loss, every figure within a tenth of itself, and the ranks' extremes about it."""
    told = {key: value * generator.uniform(0.9, 1.1) for key, value in PATTERN.items() if key != "loss"}
    for name in [name for name in told if BY_NAME[name].combine == "spread"]:
        told |= {f"{name}_min": 0.9 * told[name], f"{name}_max": 1.1 * told[name]}
    return told
