"""Faults of learning."""
