"""What a build has come to, put together from the records of its shards: events, left-out pictures, the manifest."""

from __future__ import annotations

from shards.building.duplicates import duplicates_written
from shards.building.job import Job
from shards.building.judge import Event
from shards.building.quarantine import file_name
from shards.building.record import ShardRecord
from shards.building.report import DROPPED
from shards.tars.manifest import Manifest


def all_events(job: Job, records: list[ShardRecord]) -> list[Event]:
    """What happened to pictures on the way: before the plan, while writing, and what only all records together tell."""
    found = [event for record in records for event in record.events]
    return [*job.events, *found, *duplicates_written(job.listing, job.plan, records)]


def quarantined(record: ShardRecord) -> list[str]:
    """File names of the pictures that a shard left out."""
    return [file_name(event["key"], event["name"]) for event in record.events if event["action"] == DROPPED]


def make_manifest(job: Job, records: list[ShardRecord], num_dropped: int) -> Manifest:
    """The manifest of a set whose shards have these records, in order."""
    pictures = {"bytes_in": sum(r.bytes_in for r in records), "bytes_out": sum(r.bytes_out for r in records)}
    return Manifest(
        name=job.options.name,
        seed=job.options.seed,
        classes=job.listing.classes,
        shards=tuple(record.entry for record in records if record.entry.num_samples),
        num_dropped=num_dropped,
        build={
            "plan": job.fingerprint,
            "source": job.source.kind,
            "checks": job.options.judge.describe(),
            "pictures": pictures,
        },
    )
