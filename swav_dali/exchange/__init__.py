"""Weights in and out: whose file it is, what it holds, and the forms other libraries read."""
