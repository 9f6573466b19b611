"""The project of servers under test: its folder is where imports of `resources_servers.<name>` begin."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = Path(__file__).parent / "project"

# Appended: what the checkout has comes first, and both are parts of the same namespace packages.
sys.path.append(str(PROJECT))

collect_ignore = ["project/resources_servers/bundle/word_sorter/tests"]
"""Imports from beside its `app.py`; run in a process of its own by `test_own_tests.py`."""
