"""`ng_test`: the environment checker and the tests of one component, or of all in this folder."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import NoReturn, Self

from pydantic import model_validator

from nemo_gym.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, command
from nemo_gym.config.component import Component, components_below
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.config.places import roots
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.launch.component_check import ComponentReport, check_component

COMMAND = "ng_test"
SUMMARY = "check an environment and run a server's tests, in the server's own environment"
EXAMPLE = f"{COMMAND} +entrypoint=resources_servers/calendar"


class ServerTestOptions(OptionsModel):
    """Options of `ng_test`."""

    entrypoint: str | None = None
    """The server's folder: `resources_servers/x`, an agent's, a model's."""
    all: bool = False
    """Every server in this folder, one after the other."""
    pytest_args: str = ""
    """More arguments for pytest, as `+pytest_args='-x -k words'`."""

    @model_validator(mode="after")
    def _one_or_all(self) -> Self:
        if (self.entrypoint is None) != self.all:
            raise ValueError("say what to test: +entrypoint=resources_servers/<name>, or +all=true")
        return self


def main() -> NoReturn:
    command(run_tests)


def run_tests(argv: list[str]) -> int:
    """Exit code: 0 if the checker and all tests pass, 1 if not."""
    if wants_help(argv):
        print(help_text(ServerTestOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, ServerTestOptions, command=COMMAND)
    components = _all_here() if options.entrypoint is None else [_component(options.entrypoint)]
    try:
        reports = asyncio.run(_check(components, shlex.split(options.pytest_args)))
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED
    print("\n".join(str(report) for report in reports))
    return 0 if all(report.passed for report in reports) else EXIT_FAILED


async def _check(components: list[Component], pytest_args: list[str]) -> list[ComponentReport]:
    reports = []
    for component in components:
        print(f"{component.path}", flush=True)
        reports.append(await check_component(component, _notify, pytest_args=pytest_args))
        print(flush=True)
    return reports


def _notify(text: str) -> None:
    print(text, flush=True)


def _component(entrypoint: str) -> Component:
    """The component that a path means: its folder, here or in the install, or a file in it."""
    given = Path(entrypoint).expanduser()
    for root in roots(Path.cwd()):
        folder = root / given
        component = Component.at(folder.parent if folder.is_file() else folder)
        if component is not None and (component.folder / "app.py").is_file():
            return component
    known = dict.fromkeys(component.path for root in roots(Path.cwd()) for component in components_below(root))
    message = f"there is no `app.py` in `{entrypoint}`; {suggestion(entrypoint, known, kind='servers')}"
    raise ConfigError([ConfigProblem(COMMAND_LINE, "entrypoint", message)])


def _all_here() -> list[Component]:
    components = list(components_below(Path.cwd()))
    if not components:
        message = "no server is in this folder: there is no `resources_servers/<name>/app.py` or the like"
        raise ConfigError([ConfigProblem(COMMAND_LINE, "all", message)])
    return components


if __name__ == "__main__":
    main()
