"""What can happen to a run, third part: the network between hosts, and wandb."""

from __future__ import annotations
