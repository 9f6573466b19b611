"""The example of docs/credit-and-advantages.md prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "credit-and-advantages.md"


def test_the_example_prints_what_the_page_shows() -> None:
    [(code, printed)] = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=PAGE.parents[1], capture_output=True, text=True, check=True)
    assert done.stdout == printed
