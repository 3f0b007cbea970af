"""`python -m tests.drill`: faults on whole runs, at random moments, each judged by what the next start makes of it."""
