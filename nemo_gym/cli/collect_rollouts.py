"""`ng_collect_rollouts`: run every task of a file against running servers and keep the results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn, Self

import uvloop
from pydantic import Field, model_validator
from rich.console import Console

from nemo_gym.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, command
from nemo_gym.cli.running_servers import HeadServerAddress, running_servers
from nemo_gym.cli.stopping import stop_on_signals, tell
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.config.places import find_file
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.rollouts.collection import DEFAULT_MAX_ATTEMPTS, Collected, CollectionOptions, agents_of, collect
from nemo_gym.rollouts.plan import PlanOptions
from nemo_gym.rollouts.progress import ProgressDisplay
from nemo_gym.rollouts.rows import unknown_agent
from nemo_gym.rollouts.running import DEFAULT_PARALLEL, DEFAULT_ROLLOUT_TIMEOUT_S, Stop
from nemo_gym.rollouts.summary import print_summary
from nemo_gym.serving.http import HttpClient

COMMAND = "ng_collect_rollouts"
SUMMARY = "run every task of a file against running servers and keep the results"
EXAMPLE = (
    f"{COMMAND} +agent_name=calendar_simple_agent "
    "+input_jsonl_fpath=resources_servers/calendar/data/example.jsonl +output_jsonl_fpath=rollouts.jsonl"
)


class CollectRolloutsOptions(OptionsModel):
    """Options of `ng_collect_rollouts`."""

    input_jsonl_fpath: Path
    """The task rows."""
    output_jsonl_fpath: Path
    """Where results go; the other files go beside it."""
    agent_name: str | None = None
    """Agent of the rows that name none in `agent_ref`. Not needed if only one agent runs."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many rows, from the start of the file."""
    num_repeats: int = Field(default=1, ge=1)
    """Rollouts per row."""
    num_samples_in_parallel: int = Field(default=DEFAULT_PARALLEL, ge=1)
    """Rollouts in flight at a time."""
    responses_create_params: dict[str, Any] = Field(default_factory=dict)
    """Set over each row's own, as `{temperature: 0.5}`."""
    resume_from_cache: bool = False
    """Continue what lies there, with the same arguments."""
    overwrite: bool = False
    """Throw away what lies in the output files."""
    max_failed: int = Field(default=0, ge=0)
    """So many failed rollouts still count as success."""
    max_attempts: int = Field(default=DEFAULT_MAX_ATTEMPTS, ge=1)
    """Attempts at one rollout, over all resumed runs."""
    rollout_timeout_s: float = Field(default=DEFAULT_ROLLOUT_TIMEOUT_S, gt=0)
    """Seconds that one rollout may take."""
    head_server: HeadServerAddress | None = None
    """Its `.host` and `.port`, if not those of this folder."""

    @model_validator(mode="after")
    def _resume_or_overwrite(self) -> Self:
        if self.resume_from_cache and self.overwrite:
            raise ValueError("+resume_from_cache=true and +overwrite=true contradict each other: give one")
        return self


def main() -> NoReturn:
    command(run)


def run(argv: list[str]) -> int:
    """Exit code: 0 if at most `max_failed` rollouts failed, 1 if more did, 130 if interrupted."""
    if wants_help(argv):
        print(help_text(CollectRolloutsOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, CollectRolloutsOptions, command=COMMAND)
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


async def _collect(options: CollectRolloutsOptions) -> Collected:
    http = HttpClient()
    try:
        client = await running_servers(options.head_server, http)
        stop = Stop()
        stop_on_signals(stop, COMMAND)
        with ProgressDisplay(Console(stderr=True)) as progress:
            return await collect(
                client, _collection_options(options, agents_of(client)), stop=stop, on_progress=progress.update
            )
    finally:
        await http.close()


def _collection_options(options: CollectRolloutsOptions, agents: list[str]) -> CollectionOptions:
    agent = options.agent_name
    if agent is not None and agent not in agents:
        raise ConfigError([ConfigProblem("command line", "agent_name", unknown_agent(agent, agents))])
    if agent is None and len(agents) == 1:
        agent = agents[0]
    return CollectionOptions(
        input_path=find_file(str(options.input_jsonl_fpath), Path.cwd()) or options.input_jsonl_fpath,
        output_path=options.output_jsonl_fpath,
        plan=PlanOptions(
            agent_name=agent,
            limit=options.limit,
            num_repeats=options.num_repeats,
            responses_create_params=options.responses_create_params,
        ),
        num_parallel=options.num_samples_in_parallel,
        rollout_timeout_s=options.rollout_timeout_s,
        resume=options.resume_from_cache,
        overwrite=options.overwrite,
        max_attempts=options.max_attempts,
    )


if __name__ == "__main__":
    main()
