"""A server's own tests run in the server's folder too, where they import what lies beside `app.py`."""

from __future__ import annotations

import subprocess
import sys

from tests.compat.conftest import PROJECT


def test_tests_that_import_from_beside_the_entrypoint_pass_in_their_folder() -> None:
    folder = PROJECT / "resources_servers" / "bundle" / "word_sorter"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    done = subprocess.run([*command, "tests"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
