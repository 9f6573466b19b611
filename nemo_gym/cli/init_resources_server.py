"""`ng_init_resources_server`: write a new environment that already works, to be changed into one's own."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from nemo_gym.cli.command import command
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.scaffold.resources_server_folder import new_resources_server

COMMAND = "ng_init_resources_server"
SUMMARY = "write a new environment that passes its tests as it is, to start from"
EXAMPLE = f"{COMMAND} +entrypoint=resources_servers/my_env"


class InitResourcesServerOptions(OptionsModel):
    """Options of `ng_init_resources_server`."""

    entrypoint: Path
    """The folder to make, `resources_servers/<name>`. Must not be there yet."""


def main() -> NoReturn:
    command(init_resources_server)


def init_resources_server(argv: list[str]) -> int:
    """Write the files and tell what to do next. Raises `ConfigError` where something is there already."""
    if wants_help(argv):
        print(help_text(InitResourcesServerOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, InitResourcesServerOptions, command=COMMAND)
    folder = options.entrypoint
    for path in new_resources_server(folder):
        print(path)
    print(f"\n{folder / 'README.md'} says which lines to change. It works already:\n\n  ng_test +entrypoint={folder}")
    return 0


if __name__ == "__main__":
    main()
