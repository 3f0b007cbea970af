"""RunConfig to a trained run: opens everything, continues from a checkpoint if there is one, and hands over to fit.

Read swav_dali.run.loop for the loop, swav_dali.method.step for one step, swav_dali.run.resume for what continuing
means.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

import torch

from pipelines.batch import Loader
from pipelines.reading.decode_cost import decode_milliseconds
from shards.tars.shardset import ShardSet
from swav_dali.config.length import follow_steps, notes_on_length, warnings_on_length
from swav_dali.config.rules import warnings_on_choices
from swav_dali.config.sections import RunConfig
from swav_dali.errors import DivergenceError, TrainingError
from swav_dali.evaluate.probe_data import open_probe
from swav_dali.exchange.training import read_training_state
from swav_dali.method.sound import tensor_names
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.bus_error import bus_errors_named
from swav_dali.ranks.device import prepare_device
from swav_dali.ranks.flight import make_room, record_collectives
from swav_dali.ranks.group import process_group
from swav_dali.ranks.interface import check_interface
from swav_dali.ranks.leaving import Leaving, leave_together
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import load_parts, prune_checkpoints, rank_file
from swav_dali.run.folder import way_on
from swav_dali.run.go_on import go_on_from
from swav_dali.run.init import begin_with
from swav_dali.run.lock import hold_run
from swav_dali.run.loop import fit
from swav_dali.run.make import check_shards, guard_shards, load_shards, make_parts, open_data
from swav_dali.run.parts import Run, Services
from swav_dali.run.pictures import Pictures
from swav_dali.run.plan import TrainPlan
from swav_dali.run.resolve import resolve
from swav_dali.run.resume import continue_run
from swav_dali.run.saving import CheckpointWriter
from swav_dali.run.sinks import open_sinks
from swav_dali.run.start import Start, find_start
from swav_dali.run.summary import say_complete, summarize
from swav_dali.run.versions import versions
from swav_dali.watch.sinks.base import Event, SinkGroup
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.watch import PerImage, Watch


def train(config: RunConfig, *, given: Collection[str] = (), notes: Sequence[str] = ()) -> None:
    """Run `config` to its last epoch, from its newest checkpoint if it has one; a finished run says so and returns.

    Every rank of the launch calls this; see World.detect for how a rank knows itself.

    Args:
        config: what to train.
        given: dotted keys that a person set and nothing may change; see swav_dali.config.length.
        notes: said at the start, after the headline.

    Raises:
        UserError: of the subclass that says what cannot be used, before anything is trained.
    """
    world = World.detect(config.device)
    config = resolve(config, world)
    with ExitStack() as stack:
        check_interface(world)
        if world.size > 1:
            record_collectives(config.folder / "flight", entries=config.ranks.flight_recorder)
        stack.enter_context(process_group(world, config.ranks.timeout_seconds, config.ranks.start_timeout_seconds))
        stack.enter_context(abort_together(world))
        stack.enter_context(bus_errors_named())
        leaving = stack.enter_context(leave_together(world))
        prepare_device(world.device, deterministic=config.deterministic)
        if world.is_main:
            stack.enter_context(hold_run(config.folder))
            if world.size > 1 and world.device.type == "cuda":
                make_room()
        start, config = find_start(config, world, given)
        start.notes.extend(notes)
        run = _open_run(config, world, start, given, leaving, stack)
        if run is None:
            return
        _fit(run)
        run.services.watch.event(Event("end", run.clock.step, summarize(config.folder)))


def _fit(run: Run) -> None:
    """Train; a run that diverged ends with the command that goes on from its last sound weights."""
    try:
        fit(run)
    except DivergenceError as error:
        raise TrainingError(
            error.what, where=error.where, found=error.found, expected=error.expected, fix=way_on(run.config)
        ) from error


def _open_run(
    config: RunConfig, world: World, start: Start, given: Collection[str], leaving: Leaving, stack: ExitStack
) -> Run | None:
    """The run, ready for its next step; None if it has none left, which is said."""
    torch.manual_seed(config.seed)
    shards = load_shards(config)
    loader = stack.enter_context(closing(open_data(config, shards, world)))
    if _is_complete(config, start, loader):
        if world.is_main:
            say_complete(config.folder, start.folder)
        return None
    config = _with_length(config, start, loader.steps_per_epoch, world, given)
    images = config.data.synthetic_images if shards is None else shards.num_samples
    start.warnings.extend(warnings_on_choices(config, images=images, num_ranks=world.size))
    probe = None if shards is None else open_probe(shards, config.data, config.knn, world)
    parts = make_parts(config, world)
    if start.is_new and config.init is not None:
        start.notes.append(begin_with(parts.model, config.init))
    skipped = SkippedSteps(config.optim.max_skipped_steps, tensor_names(parts.model, parts.optimizer))
    shard_check = check_shards(config, shards, world)
    if shard_check is not None:
        stack.enter_context(closing(shard_check))
    watch = _open_watch(config, shards, world, skipped)
    plan = TrainPlan(
        steps_per_epoch=loader.steps_per_epoch,
        optim=config.optim,
        swav=config.swav,
        checkpoint=config.checkpoint,
        knn=config.knn,
        log=config.log,
    )
    run = Run(
        config=config,
        world=world,
        plan=plan,
        parts=parts,
        services=Services(
            loader=loader,
            probe=probe,
            watch=watch,
            guard=guard_shards(config, shards, world),
            shard_check=shard_check,
            pictures=_pictures(config, world, is_new=start.is_new),
        ),
        versions=versions(),
        writer=_open_writer(config, world, plan, watch),
        leaving=leaving,
    )
    if start.is_new and config.go_on_from is not None:
        start.notes.append(go_on_from(run, read_training_state(config.go_on_from)))
    resumed = None if start.meta is None else continue_run(run, start.folder, start.meta)
    watch.sinks = stack.enter_context(SinkGroup(open_sinks(run, is_new=start.is_new, warnings=start.warnings)))
    watch.event(Event("start", run.clock.step, _headline(run, shards)))
    for text in start.notes:
        watch.event(Event("start", run.clock.step, text))
    for text in start.warnings:
        watch.event(Event("warning", run.clock.step, text))
    if resumed is not None:
        watch.event(resumed)
    return run


def _open_writer(config: RunConfig, world: World, plan: TrainPlan, watch: Watch) -> CheckpointWriter:
    root, keep = config.folder / "checkpoints", config.checkpoint.keep
    return CheckpointWriter(
        root,
        world,
        tidy=lambda step: prune_checkpoints(root, step=step, keep=keep, is_permanent=plan.checkpoint_is_permanent),
        tell=lambda step, folder: watch.event(Event("checkpoint", step, f"checkpoint {folder}", str(folder))),
    )


def _with_length(
    config: RunConfig, start: Start, steps_per_epoch: int, world: World, given: Collection[str]
) -> RunConfig:
    """`config` for this number of steps; what is shortened or never comes to pass is among the notes."""
    fitting = follow_steps(config, steps_per_epoch * config.optim.epochs, given) if start.is_new else config
    start.notes.extend(notes_on_length(config, fitting))
    start.warnings.extend(warnings_on_length(fitting, steps_per_epoch=steps_per_epoch, num_ranks=world.size))
    return fitting


def _is_complete(config: RunConfig, start: Start, loader: Loader) -> bool:
    """Whether the run has trained all its epochs, on these pictures; raises LoaderStateError for others."""
    if start.meta is None or start.meta.epoch < config.optim.epochs:
        return False
    loader.refuse_other_data(load_parts(start.folder, rank_file(0))["loader"])
    return True


def _pictures(config: RunConfig, world: World, *, is_new: bool) -> Pictures | None:
    if not world.is_main:
        return None
    augment = config.data.augment
    return Pictures(config.folder, config.log.pictures, augment.mean, augment.std, is_new=is_new)


def _open_watch(config: RunConfig, shards: ShardSet | None, world: World, skipped: SkippedSteps) -> Watch:
    per_image = PerImage(crops=sum(group.num for group in config.data.crops))
    if shards is not None:
        tar_bytes = sum(shard.tar_bytes for shard in shards.shards) / shards.num_samples
        here = config.data.loader.tars_at is None
        decode_ms = partial(decode_milliseconds, shards) if here else None
        per_image = replace(per_image, tar_bytes=tar_bytes, decode_ms=decode_ms)
    return Watch(
        world,
        skipped,
        config.folder,
        per_image,
        wants_headspace=config.log.headspace,
        stops_on_collapse=config.health.on_collapse == "stop",
        traces=config.log.trace,
        heads=config.model.heads,
    )


def _headline(run: Run, shards: ShardSet | None) -> str:
    data, world = run.config.data, run.world
    source = (
        f"{data.synthetic_images} synthetic images" if shards is None else f"{shards.num_samples} images, {data.train}"
    )
    crops = "+".join(f"{group.num}x{group.size}" for group in data.crops)
    images = data.synthetic_images if shards is None else shards.num_samples
    a_pass = images // (data.batch_size * world.size)
    in_passes = f" (a pass has {a_pass})" if run.config.optim.steps_per_epoch else ""
    parameters = sum(parameter.numel() for parameter in run.parts.model.parameters())
    precision = "float32 without TF32" if run.parts.autocast_dtype is None else f"{run.config.precision} autocast"
    return (
        f"run {run.config.folder}: {source}; crops {crops} by {data.crops_by}; {run.config.model.arch} "
        f"{parameters / 1e6:.1f} M parameters, {precision}; {world.size} rank(s) on {world.device.type} x "
        f"{data.batch_size} images, {run.plan.steps_per_epoch} steps an epoch{in_passes}, {run.plan.epochs} epochs"
    )
