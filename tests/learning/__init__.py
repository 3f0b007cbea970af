"""What recipes learn, over several seeds: `python -m tests.learning ROW` trains, evaluates, writes docs/learning.md."""
