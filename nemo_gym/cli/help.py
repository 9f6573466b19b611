"""`ng_help`: every command in one line, with an example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from nemo_gym.cli.command import command


@dataclass(frozen=True)
class CommandLine:
    """One line of the help."""

    name: str
    summary: str
    example: str


_CALENDAR = "resources_servers/calendar/configs/calendar.yaml"
_SCRIPTED = "responses_api_models/scripted_model/configs/scripted_model.yaml"

COMMANDS = (
    CommandLine(
        "ng_run",
        "start and supervise the servers of a configuration",
        f'ng_run "+config_paths=[{_CALENDAR},{_SCRIPTED}]"',
    ),
    CommandLine(
        "ng_collect_rollouts",
        "collect rollouts from running servers into a JSONL file",
        "ng_collect_rollouts +agent_name=calendar_simple_agent "
        "+input_jsonl_fpath=resources_servers/calendar/data/example.jsonl +output_jsonl_fpath=results/calendar.jsonl",
    ),
    CommandLine("ng_status", "show the servers that run, where and how they are", "ng_status"),
    CommandLine(
        "ng_dump_config",
        "print the merged configuration as YAML, secrets masked",
        f'ng_dump_config "+config_paths=[{_CALENDAR},{_SCRIPTED}]"',
    ),
    CommandLine("ng_help", "show this", "ng_help"),
)
"""In the order in which one meets them."""


def main() -> NoReturn:
    command(show_help)


def show_help(argv: list[str]) -> int:
    """Print the list of commands; arguments are not looked at."""
    print("Commands; each takes `+key=value` options and shows them with --help.\n")
    for each in COMMANDS:
        print(f"{each.name}: {each.summary}\n    {each.example}")
    return 0
