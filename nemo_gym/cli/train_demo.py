"""`ng_train_demo`: the proof that it learns, on a machine without a GPU."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

from nemo_gym.cli.command import command
from nemo_gym.config.options import help_text, parse_options, wants_help
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.training.demo.options import TrainDemoOptions

COMMAND = "ng_train_demo"
SUMMARY = "make a tiny model and train it by GRPO over HTTP rollouts, no GPU needed"
EXAMPLE = f"{COMMAND} +environment=code_lookup +output_dir=results/train_demo"


def main() -> NoReturn:
    command(run)


def run(argv: list[str]) -> int:
    """Exit code: 0 when the training came to its end."""
    if wants_help(argv):
        print(help_text(TrainDemoOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, TrainDemoOptions, command=COMMAND)
    try:
        from nemo_gym.training.demo.run import run_demo
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nemo_gym"):
            raise
        message = f"{error.name} is not installed, which the demo needs: pip install 'nemo-gym[demo]'"
        raise ConfigError([ConfigProblem(COMMAND, "environment", message)]) from error
    run_demo(options, Console())
    return 0


if __name__ == "__main__":
    main()
