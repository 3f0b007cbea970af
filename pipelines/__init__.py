"""Shards to batches: the DALI graphs and their loaders. The only package that imports nvidia."""
