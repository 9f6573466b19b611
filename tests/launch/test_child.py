"""The bootstrap of a server process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nemo_gym.launch import child
from nemo_gym.launch.guardian import processes_of
from nemo_gym.serving import process


def test_launcher_and_server_agree_on_the_variable_that_names_the_descriptors() -> None:
    assert child.FDS_VARIABLE == process.FDS_VARIABLE


def test_components_are_imported_from_the_folder_that_holds_their_kinds() -> None:
    assert child.import_roots(Path("/home/me/resources_servers/calendar")) == ["/home/me"]
    assert child.import_roots(Path("/home/me/resources_servers/parent/calendar")) == ["/home/me"]
    assert child.import_roots(Path("/elsewhere/calendar")) == []


def test_it_loads_nothing_before_the_servers_own_code() -> None:
    code = "import sys, nemo_gym.launch.child; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "nemo_gym.launch.child" in shown
    assert {"asyncio", "pydantic", "fastapi", "json", "logging", "subprocess", "typing"}.isdisjoint(shown)
    ours = {name for name in shown if name.startswith("nemo_gym")}
    assert ours == {"nemo_gym", "nemo_gym.launch", "nemo_gym.launch.child"}


def test_no_process_carries_the_mark_of_a_run_that_never_was() -> None:
    assert processes_of("20000101-000000-abcdef") == []
