"""The network: trunk, head and prototypes."""
