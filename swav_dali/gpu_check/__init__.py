"""What only a machine with a GPU can show, measured in order of value: `python -m pipelines gpu-check`."""
