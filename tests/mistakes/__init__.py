"""Mistakes that users make, each run as the real command. `python -m tests.mistakes` prints how long each takes."""
