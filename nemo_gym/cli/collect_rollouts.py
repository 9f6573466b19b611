"""`ng_collect_rollouts`: run every task of a file against running servers and keep the results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from rich.console import Console

from nemo_gym.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, command
from nemo_gym.cli.stopping import stop_on_signals, tell
from nemo_gym.config.options import help_text, parse_options, wants_help
from nemo_gym.rollouts.collection import Collected, agents_of, collect
from nemo_gym.rollouts.collection_config import RolloutCollectionConfig
from nemo_gym.rollouts.ongoing import Ongoing
from nemo_gym.rollouts.progress import ProgressDisplay
from nemo_gym.rollouts.running import Stop
from nemo_gym.rollouts.running_servers import running_servers
from nemo_gym.rollouts.summary import print_summary
from nemo_gym.serving.http import HttpClient
from nemo_gym.training.recipe import Recipe

COMMAND = "ng_collect_rollouts"
SUMMARY = "run every task of a file against running servers and keep the results"
EXAMPLE = (
    f"{COMMAND} +agent_name=calendar_simple_agent "
    "+input_jsonl_fpath=resources_servers/calendar/data/example.jsonl +output_jsonl_fpath=rollouts.jsonl"
)


class CollectOptions(RolloutCollectionConfig):
    recipe: Path | None = None
    """A training recipe: its sampling and repeats."""


def main() -> NoReturn:
    command(run)


def run(argv: list[str]) -> int:
    """Exit code: 0 if at most `max_failed` rollouts failed, 1 if more did, 130 if interrupted."""
    if wants_help(argv):
        print(help_text(CollectOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = _with_recipe(parse_options(argv, CollectOptions, command=COMMAND))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            collected = runner.run(_collect(options))
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED
    print_summary(collected, Console())
    if collected.interrupted:
        tell(COMMAND, "interrupted; +resume_from_cache=true continues")
        return EXIT_INTERRUPTED
    if collected.tally.num_failed > options.max_failed:
        tell(COMMAND, f"{collected.tally.num_failed} rollouts failed, {options.max_failed} allowed (+max_failed=)")
        return EXIT_FAILED
    return 0


def _with_recipe(options: CollectOptions) -> CollectOptions:
    """With what the recipe says; the command line's own options go before it."""
    if options.recipe is None:
        return options
    recipe = Recipe.read(options.recipe)
    said: dict[str, Any] = {"responses_create_params": recipe.row_params() | options.responses_create_params}
    if recipe.rollouts_per_task is not None and "num_repeats" not in options.model_fields_set:
        said["num_repeats"] = recipe.rollouts_per_task
    return options.model_copy(update=said)


async def _collect(options: RolloutCollectionConfig) -> Collected:
    http = HttpClient()
    try:
        client = await running_servers(options.head_server, http)
        stop = Stop()
        stop_on_signals(stop, COMMAND)
        ongoing = Ongoing()
        with ProgressDisplay(Console(stderr=True), ongoing) as progress:
            planned = options.of(agents_of(client))
            return await collect(client, planned, stop=stop, on_progress=progress.update, ongoing=ongoing)
    finally:
        await http.close()


if __name__ == "__main__":
    main()
