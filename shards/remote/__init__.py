"""Shard sets at a URL: places, copies with checksums."""
