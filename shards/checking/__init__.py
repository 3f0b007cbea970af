"""Whether shards are what they say: manifest, index, bytes, pictures."""
