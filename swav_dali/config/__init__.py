"""What a user can choose, and the named starting points."""
