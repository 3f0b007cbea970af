"""Whole runs on real shards: what they leave behind, and the mistakes they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import training

from swav_dali.run.checkpoint import find_checkpoints, load_meta, load_parts
from swav_dali.watch.record import BY_KEY


@pytest.fixture(scope="module")
def finished(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    done = training.run(training.command(tiny_data, runs, "whole", log__wandb="offline"))
    assert done.returncode == 0, done.stderr
    (runs / "stdout.txt").write_text(done.stdout)
    return runs


def test_metrics_hold_every_step_with_its_rate_and_the_probe_beside_its_floors(finished: Path) -> None:
    records = training.records(finished / "whole")
    steps = [record for record in records if "loss" in record]
    assert [record["step"] for record in steps] == list(range(1, len(steps) + 1))
    assert all(0 < record["loss"] <= 2 / 0.1 for record in steps)  # cosines differ by 2 at most
    assert all(record["images_per_second"] > 0 and 0 <= record["data_wait_share"] <= 1 for record in steps)
    probes = [record for record in records if "knn_top1" in record]
    assert [record["epoch"] for record in probes] == [0, 1, 2]
    assert {"knn_untrained", "knn_pixels"} <= probes[-1].keys()


def test_every_key_is_declared_and_counts_are_whole(finished: Path) -> None:
    records = training.records(finished / "whole")
    assert {key for record in records for key in record} <= BY_KEY.keys()
    required = {"step", "epoch", "images_seen", "seconds"}
    trained = {
        "loss",
        "ln_k",
        "lr",
        "queue_in_use",
        "images_per_second",
        "seconds_per_step",
        "seconds_left",
        "data_ms",
        "forward_ms",
    }
    for record in records:
        assert required | (trained if "loss" in record else {"knn_top1"}) <= record.keys()
        assert all(isinstance(record[key], int) for key in ("step", "epoch", "images_seen"))
    assert [record["images_seen"] for record in records if "loss" in record] == [4 * step for step in range(1, 21)]


def test_the_run_folder_is_complete(finished: Path) -> None:
    folder = finished / "whole"
    saved = json.loads((folder / "config.json").read_text())
    assert saved["optim.epochs"] == 2
    assert "auto" not in saved.values()
    newest = load_meta(find_checkpoints(folder / "checkpoints")[-1])
    assert newest.epoch == 2
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert list((folder / "wandb").glob("offline-run-*/*.wandb"))


def test_the_end_tells_loss_knn_and_where_things_are(finished: Path) -> None:
    said = (finished / "stdout.txt").read_text()
    for words in ("ln K 2.4849", "kNN top-1", "untrained", "raw pixels", "checkpoint", "metrics.jsonl", "wandb sync"):
        assert words in said


def test_choices_that_are_known_to_fail_are_warned_of_once(finished: Path) -> None:
    said = [json.loads(line) for line in (finished / "whole" / "events.jsonl").read_text().splitlines()]
    warned = [
        event["text"] for event in said if event["kind"] == "warning" and "--swav.queue-start-epoch" in event["text"]
    ]
    assert len(warned) == 1
    assert "swav issues 56 and 69" in warned[0]


def test_started_again_it_says_it_is_complete_and_changes_nothing(finished: Path, tiny_data: Path) -> None:
    before = (finished / "whole" / "metrics.jsonl").read_bytes()
    done = training.run(training.command(tiny_data, finished, "whole", log__wandb="offline"))
    assert done.returncode == 0
    assert "is complete" in done.stdout
    assert (finished / "whole" / "metrics.jsonl").read_bytes() == before


def test_a_finished_run_is_not_complete_for_other_pictures(finished: Path, tiny_data: Path) -> None:
    arguments = training.command(tiny_data, finished, "whole")
    done = training.run([*arguments, "--data.train", str(tiny_data / "validation")])
    assert done.returncode == 2
    assert "other shards" in done.stderr
    assert "is complete" not in done.stdout


def test_a_finished_run_goes_on_for_more_epochs_and_says_what_that_means(finished: Path, tiny_data: Path) -> None:
    shutil.copytree(finished / "whole", finished / "longer")
    done = training.run(training.command(tiny_data, finished, "longer", optim__epochs="3"))
    assert done.returncode == 0, done.stderr
    assert "--optim.epochs 2 -> 3: the rest of the run follows the learning rates of 3 epochs" in done.stdout
    steps = [record["step"] for record in training.records(finished / "longer") if "loss" in record]
    assert steps == list(range(1, 31))


def test_a_new_run_begins_with_the_weights_of_another_one_and_other_options(finished: Path, tiny_data: Path) -> None:
    options = {"init": str(finished / "whole"), "model__num_prototypes": "20", "optim__epochs": "1"}
    done = training.run(training.command(tiny_data, finished, "begun", **options))
    assert done.returncode == 0, done.stderr
    assert "begins with the weights of whole step 20; fresh: prototypes" in done.stdout


def test_one_bit_of_a_shard_that_has_changed_stops_the_run_by_name(tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data")
    tar = sorted((tmp_path / "data" / "train").glob("*.tar"))[0]
    content = bytearray(tar.read_bytes())
    content[-1] ^= 1  # behind the last picture: only a checksum can tell
    tar.write_bytes(content)
    done = training.run(training.command(tmp_path / "data", tmp_path, "flipped"))
    assert done.returncode == 2
    assert f"{tar}: its bytes have changed since the manifest was written" in done.stderr


def test_synthetic_images_train_without_shards(tmp_path: Path) -> None:
    arguments = training.command(tmp_path / "none", tmp_path, "made-up", data__synthetic_images="16", optim__epochs="1")
    done = training.run([*arguments])
    assert done.returncode == 0, done.stderr
    assert training.records(tmp_path / "made-up")[-1]["step"] == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data__batch_size": "1000"}, ["batch", "1000"]),
        ({"swav__queue_length": "3"}, ["queue", "3"]),
        ({"name": "whole", "optim__base_lr": "7"}, ["--optim.base-lr", "7.0", "--name"]),
        ({"name": "whole", "resume": "never"}, ["whole", "--name"]),
        ({"resume": "no/such/checkpoint"}, ["no/such/checkpoint", "not a checkpoint"]),
        ({"data__validation": "no/such/shards"}, ["no/such/shards"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    finished: Path, tiny_data: Path, changes: dict[str, str], words: list[str]
) -> None:
    done = training.run(training.command(tiny_data, finished, changes.pop("name", "wrong"), **changes))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_shards_changed_since_the_manifest_are_refused_by_name(tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data")
    tar = sorted((tmp_path / "data" / "train").glob("*.tar"))[0]
    tar.write_bytes(tar.read_bytes() + b"\0" * 512)
    done = training.run(training.command(tmp_path / "data", tmp_path, "stale"))
    assert done.returncode == 2
    assert tar.name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_diverges_stops_with_its_steps_and_keeps_the_sound_checkpoint(
    tiny_data: Path, tmp_path: Path
) -> None:
    wild = {"optim__base_lr": "1e30", "optim__start_lr": "0.1", "checkpoint__every_steps": "1"}
    done = training.run(training.command(tiny_data, tmp_path, "wild", **wild))
    assert done.returncode == 2
    assert "not finite" in done.stderr
    assert "step" in done.stderr
    assert "Traceback" not in done.stderr
    newest = find_checkpoints(tmp_path / "wild" / "checkpoints")[-1]
    weights = load_parts(newest, "shared.pt")["model"]
    assert all(value.isfinite().all() for value in weights.values())
