"""A run: opened, trained, saved, continued."""
