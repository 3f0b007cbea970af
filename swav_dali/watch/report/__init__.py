"""A run, or several laid over each other, as one page that needs nothing else."""
