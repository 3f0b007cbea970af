"""Where a shard set lies, a folder or a URL, behind one store; copies with checksums."""
