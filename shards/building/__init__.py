"""From a source to a finished shard set: plan, judge, write, record."""
