"""Code verifier: is the last code that the policy wrote the right one?"""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: ?([0-9]{1,12})(?![0-9])")


def extract_code(text: str) -> str | None:
    """The digits after the last `Code:` that digits follow; None where there are none."""
    found = _CODE.findall(text)
    return found[-1] if found else None


def reward(code: str | None, expected: str) -> float:
    """1.0 for the expected code, digit by digit: `007` is not `7`."""
    return float(code == expected)
