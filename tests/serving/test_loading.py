"""Loading server classes from folders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nemo_gym.errors import LaunchError
from nemo_gym.serving.loading import load_server_class

APP = """
from nemo_gym.base_resources_server import SimpleResourcesServer
from utils import NAME

class {name}(SimpleResourcesServer):
    who: str = NAME
"""


def write_server(folder: Path, name: str, app: str = APP) -> Path:
    folder.mkdir()
    (folder / "utils.py").write_text(f"NAME = {name!r}\n")
    (folder / "app.py").write_text(app.format(name=name))
    return folder


def test_two_servers_may_each_have_a_utils_module(tmp_path: Path) -> None:
    path_before = list(sys.path)
    one = load_server_class(write_server(tmp_path / "one", "One"), "app.py")
    two = load_server_class(write_server(tmp_path / "two", "Two"), "app.py")
    assert [cls.model_fields["who"].default for cls in (one, two)] == ["One", "Two"]
    assert sys.path == path_before and "utils" not in sys.modules


def test_a_class_and_its_base_in_one_file_mean_the_derived_one(tmp_path: Path) -> None:
    app = APP + "\nclass Derived({name}):\n    pass\n"
    assert load_server_class(write_server(tmp_path / "one", "Base", app), "app.py").__name__ == "Derived"


def test_a_file_without_a_server_class_says_so(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"one/app.py: exactly one server class is needed, found none"):
        load_server_class(write_server(tmp_path / "one", "X", "print_name = '{name}'"), "app.py")
