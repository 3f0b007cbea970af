"""What this machine gives: files that appear whole, locks, processes, a terminal to report on."""
