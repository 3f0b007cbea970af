"""The subcommands of `python -m pipelines`, one file each; nothing heavy is imported before one runs."""
