"""Where a run's figures go. Every sink gets the same record; metrics.jsonl is the truth."""
