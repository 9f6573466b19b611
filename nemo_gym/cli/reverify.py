"""`ng_reverify`: new rewards for stored rollouts, from running resources servers, without model calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn, Self

import uvloop
from pydantic import Field, model_validator
from rich.console import Console

from nemo_gym.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, command
from nemo_gym.cli.stopping import stop_on_signals, tell
from nemo_gym.config.global_config import instance_block
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.errors import ConfigError, ConfigProblem, RequestError
from nemo_gym.rollouts.collection import DEFAULT_MAX_ATTEMPTS
from nemo_gym.rollouts.files import CollectionFiles
from nemo_gym.rollouts.progress import ProgressDisplay
from nemo_gym.rollouts.reverify import DEFAULT_VERIFY_TIMEOUT_S, Reverified, ReverifyOptions, reverify, reverify_modes
from nemo_gym.rollouts.running import DEFAULT_PARALLEL, Stop
from nemo_gym.rollouts.running_servers import HeadServerAddress, running_servers
from nemo_gym.rollouts.stored import StoredRollouts
from nemo_gym.rollouts.summary import print_summary
from nemo_gym.schemas.episode import ReverifyMode
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.runs import read_global_config
from nemo_gym.serving.server_client import ServerClient

COMMAND = "ng_reverify"
SUMMARY = "score stored rollouts again with running servers, without model calls"
EXAMPLE = (
    f"{COMMAND} +rollouts_jsonl_fpath=results/calendar.jsonl +output_jsonl_fpath=results/calendar_reverified.jsonl"
)
RESOURCES = "resources_servers"


class ReverifyCommandOptions(OptionsModel):
    """Options of `ng_reverify`."""

    rollouts_jsonl_fpath: Path
    """Results of a collection."""
    output_jsonl_fpath: Path
    """Where the new results go."""
    materialized_inputs_jsonl_fpath: Path | None = None
    """Its rows, if not beside it."""
    resources_server_name: str | None = None
    """For all rows, not their agent's one."""
    force: bool = False
    """Also with servers that do not say whether they can."""
    num_samples_in_parallel: int = Field(default=DEFAULT_PARALLEL, ge=1)
    """Rollouts at a time."""
    verify_timeout_s: float = Field(default=DEFAULT_VERIFY_TIMEOUT_S, gt=0)
    """Seconds for each request."""
    resume_from_cache: bool = False
    """Continue what lies there."""
    overwrite: bool = False
    """Throw away what lies there."""
    max_failed: int = Field(default=0, ge=0)
    """So many failures are still success."""
    max_attempts: int = Field(default=DEFAULT_MAX_ATTEMPTS, ge=1)
    """At one rollout, over all runs."""
    head_server: HeadServerAddress | None = None
    """Its `.host` and `.port`."""

    @model_validator(mode="after")
    def _resume_or_overwrite(self) -> Self:
        if self.resume_from_cache and self.overwrite:
            raise ValueError("+resume_from_cache=true and +overwrite=true contradict each other: give one")
        return self


def main() -> NoReturn:
    command(run)


def run(argv: list[str]) -> int:
    """Exit code: 0 if at most `max_failed` verifications failed, 1 if more did, 2 if a server refuses, 130."""
    if wants_help(argv):
        print(help_text(ReverifyCommandOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, ReverifyCommandOptions, command=COMMAND)
    inputs = options.materialized_inputs_jsonl_fpath or CollectionFiles(options.rollouts_jsonl_fpath).inputs
    with StoredRollouts(options.rollouts_jsonl_fpath, inputs) as stored:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                reverified = runner.run(_reverify(options, stored))
        except asyncio.CancelledError:
            return EXIT_INTERRUPTED
    return _show(reverified, options)


async def _reverify(options: ReverifyCommandOptions, stored: StoredRollouts) -> Reverified:
    http = HttpClient()
    try:
        client = await running_servers(options.head_server, http)
        server_of = _servers(options, stored.agents, client)
        _refuse_unable(await reverify_modes(client, sorted(set(server_of.values()))), force=options.force)
        stop = Stop()
        stop_on_signals(stop, COMMAND)
        with ProgressDisplay(Console(stderr=True)) as progress:
            return await reverify(
                client,
                stored,
                ReverifyOptions(
                    output_path=options.output_jsonl_fpath,
                    server_of=server_of,
                    num_parallel=options.num_samples_in_parallel,
                    verify_timeout_s=options.verify_timeout_s,
                    resume=options.resume_from_cache,
                    overwrite=options.overwrite,
                    max_attempts=options.max_attempts,
                ),
                stop=stop,
                on_progress=progress.update,
            )
    finally:
        await http.close()


def _servers(options: ReverifyCommandOptions, agents: set[str], client: ServerClient) -> dict[str, str]:
    """Resources server by agent: the one given, else the one that the run's configuration says, else the only one."""
    running = sorted(name for name, each in client.directory.items() if each.server_type == RESOURCES)
    given = options.resources_server_name
    if given is not None and given not in running:
        message = f"no resources server `{given}` is running; {suggestion(given, running, kind='resources servers')}"
        raise ConfigError([ConfigProblem(COMMAND_LINE, "resources_server_name", message)])
    known = {} if given else _configured(options.head_server)
    only = running[0] if len(running) == 1 else None
    server_of = {agent: given or known.get(agent) or only for agent in sorted(agents)}
    lost = [agent for agent, server in server_of.items() if server not in running]
    if lost:
        message = f"which resources server scores rollouts of agent `{lost[0]}`? Running are " + (
            ", ".join(f"`{name}`" for name in running) or "none"
        )
        raise ConfigError([ConfigProblem(COMMAND_LINE, "resources_server_name", message)])
    return {agent: str(server) for agent, server in server_of.items()}


def _configured(head: HeadServerAddress | None) -> dict[str, str]:
    """Resources server by agent, as the running configuration has it; empty where nobody tells."""
    try:
        head = head or HeadServerAddress()
        values = read_global_config(head.url(), token=head.token())
    except RequestError:
        return {}
    found = {}
    for name, value in values.items():
        block: tuple[str, str, Any] | None = instance_block(value)
        reference = block[2].get("resources_server") if block and isinstance(block[2], dict) else None
        if isinstance(reference, dict):
            found[name] = str(reference.get("name"))
    return found


def _refuse_unable(modes: dict[str, ReverifyMode], *, force: bool) -> None:
    problems = []
    for server, mode in modes.items():
        if mode is ReverifyMode.UNSUPPORTED:
            message = "its verify() needs what happened in the session, which is gone: collect again"
            problems.append(ConfigProblem(server, "reverify_mode", message))
        elif mode is ReverifyMode.UNKNOWN and not force:
            message = "its author has not said whether verify() needs more than its request; +force=true if it does not"
            problems.append(ConfigProblem(server, "reverify_mode", message))
        elif mode is ReverifyMode.UNKNOWN:
            tell(COMMAND, f"warning: `{server}` does not say that stored rollouts can be scored again; you do")
    if problems:
        raise ConfigError(problems)


def _show(reverified: Reverified, options: ReverifyCommandOptions) -> int:
    collected = reverified.collected
    print_summary(collected, Console())
    print(
        f"changed {reverified.num_changed} of {collected.tally.completed} rewards, "
        f"mean {reverified.mean_before:.3f} -> {reverified.mean_after:.3f}"
    )
    if collected.interrupted:
        tell(COMMAND, "interrupted; +resume_from_cache=true continues")
        return EXIT_INTERRUPTED
    if collected.tally.num_failed > options.max_failed:
        tell(COMMAND, f"{collected.tally.num_failed} failed, {options.max_failed} allowed (+max_failed=)")
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    main()
