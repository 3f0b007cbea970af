"""Parts of a training step beside the published loop, on this machine."""
