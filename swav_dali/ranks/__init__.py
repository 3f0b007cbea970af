"""The processes of one run: who they are, what they share, how they end together."""
