"""A shard set on disk: tars written and read by hand, DALI's index, the manifest, other readers' indices."""
