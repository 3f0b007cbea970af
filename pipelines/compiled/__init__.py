"""Machine code that is compiled once per machine and handed to DALI."""
