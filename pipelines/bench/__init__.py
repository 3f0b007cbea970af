"""How fast shards become batches here, by part and beside other loaders."""
