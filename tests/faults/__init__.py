"""Faults planted into whole training runs, and whether the run's own lines name them."""
