"""One file per subcommand of `python -m swav_dali`: its flags, its examples and what it calls."""
