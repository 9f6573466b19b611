"""`ng_version`: which versions are at work here, of this package, Python and the packages it stands on."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from typing import NoReturn

from nemo_gym import __version__
from nemo_gym.cli.command import command
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.config.places import INSTALL_ROOT

COMMAND = "ng_version"
SUMMARY = "show the versions of this package, of Python and of what it stands on"
EXAMPLE = "ng_version"
PACKAGE = "nemo-gym"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class VersionOptions(OptionsModel):
    """It has none."""


def main() -> NoReturn:
    command(show_versions)


def show_versions(argv: list[str]) -> int:
    """Print one version a line."""
    if wants_help(argv):
        print(help_text(VersionOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    parse_options(argv, VersionOptions, command=COMMAND)
    lines = {
        PACKAGE: f"{__version__}  ({INSTALL_ROOT})",
        "python": f"{platform.python_version()}  ({sys.executable})",
        "system": platform.platform(),
        **_dependencies(),
    }
    width = max(len(name) for name in lines)
    for name, version in lines.items():
        print(f"{name:<{width}}  {version}")
    return 0


def _dependencies() -> dict[str, str]:
    """Version by name, of everything that this package cannot do without."""
    try:
        required = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return {}
    names = [name[0] for line in required if "extra ==" not in line and (name := _NAME.match(line))]
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
