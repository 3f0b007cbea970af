"""What a run tells while it goes on: figures, health, and where they are written."""
