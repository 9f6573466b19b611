"""The project of servers under test: its folder is where imports of `resources_servers.<name>` begin."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

PROJECT = Path(__file__).parent / "project"

# Appended: what the checkout has comes first, and both are parts of the same packages.
sys.path.append(str(PROJECT))
for kind in ("resources_servers", "responses_api_agents", "responses_api_models"):
    package = importlib.import_module(kind)
    # Python does this by itself, but not for a package that pytest made up to import the checkout's own tests.
    if str(PROJECT / kind) not in package.__path__:
        package.__path__.append(str(PROJECT / kind))

collect_ignore = ["project/resources_servers/bundle/word_sorter/tests"]
"""Imports from beside its `app.py`; run in a process of its own by `test_own_tests.py`."""
