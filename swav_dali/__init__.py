"""Batches to weights: the SwAV model, its codes and loss, and the trainer. Never imports nvidia."""
