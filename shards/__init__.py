"""Data at rest: pictures to WebDataset tar shards and back. Knows nothing of torch or DALI."""
