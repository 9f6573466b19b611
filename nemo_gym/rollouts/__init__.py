"""Collecting rollouts: task rows in, results out, durable and resumable."""
