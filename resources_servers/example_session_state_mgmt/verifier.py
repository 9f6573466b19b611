"""Counter verifier: does the session's counter stand where the row expects it?"""

from __future__ import annotations


def reward(count: int, expected_count: int) -> float:
    """1.0 if the counter ended at the expected value, else 0.0."""
    return float(count == expected_count)
