"""One file per subcommand of `python -m shards`: its flags, its examples and what it calls."""
