"""`ng_help`: every command in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from nemo_gym.cli.command import command


@dataclass(frozen=True)
class CommandLine:
    """One line of the help."""

    name: str
    summary: str


COMMANDS = (
    CommandLine("ng_run", "start and supervise the servers of a configuration"),
    CommandLine("ng_status", "show the servers that run, where and how they are"),
    CommandLine("ng_collect_rollouts", "collect rollouts from running servers"),
    CommandLine("ng_reward_profile", "reward statistics of each task; choose tasks by them"),
    CommandLine("ng_reverify", "score stored rollouts again, without model calls"),
    CommandLine("ng_prepare_data", "check task rows and write train, validation, example"),
    CommandLine("ng_init_resources_server", "write a new environment that already works"),
    CommandLine("ng_test", "check a server's folder and run its tests"),
    CommandLine("ng_train_demo", "train a tiny model here, to see that it learns"),
    CommandLine("ng_dump_config", "print the merged configuration, secrets masked"),
    CommandLine("ng_version", "show the versions at work here"),
    CommandLine("ng_help", "show this"),
)
"""In the order in which one meets them."""

EXAMPLE = "ng_collect_rollouts --help"


def main() -> NoReturn:
    command(show_help)


def show_help(argv: list[str]) -> int:
    """Print the list of commands; arguments are not looked at."""
    width = max(len(each.name) for each in COMMANDS)
    print("Commands, in the order one meets them; `ng run` is the same as `ng_run`:\n")
    for each in COMMANDS:
        print(f"  {each.name:<{width}}  {each.summary}")
    print(f"\nEach takes `+key=value` options and shows them, with an example:\n\n  {EXAMPLE}")
    return 0


if __name__ == "__main__":
    main()
