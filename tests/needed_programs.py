"""Programs that some tests need beside Python: without them these tests are skipped, and say why."""

from __future__ import annotations

import shutil

import pytest

NEEDED = {"mini_swe": "bwrap", "sandbox": "bwrap"}
"""By the name of a resources server or a page of the documentation."""


def marks_for(name: str) -> list[pytest.MarkDecorator]:
    program = NEEDED.get(name)
    if program is None:
        return []
    return [pytest.mark.skipif(shutil.which(program) is None, reason=f"`{program}` is not installed")]
