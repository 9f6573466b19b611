"""`ng_status`: how the servers of the run in this folder are doing, and what they wait for."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pydantic import Field

from nemo_gym.cli.command import EXIT_FAILED, command
from nemo_gym.cli.longest_waits import Told, ask_servers, sentences
from nemo_gym.cli.server_table import KINDS, name_of, server_table
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.errors import RequestError
from nemo_gym.serving.run_token import read_token
from nemo_gym.serving.runs import ServerStatus, fetch_status, find_head, live_runs, token_of

COMMAND = "ng_status"
SUMMARY = "show the servers of the live runs in this folder; exit code 1 when there is none"
EXAMPLE = "ng_status +wait_s=30"
POLL_S = 0.1


class HeadServerOptions(OptionsModel):
    host: str | None = None
    port: int | None = None
    token_file: Path | None = None

    def token(self) -> str | None:
        """The run's, from the file; None: it is looked for."""
        return read_token(self.token_file) if self.token_file is not None else None


class StatusOptions(OptionsModel):
    head_server: HeadServerOptions = HeadServerOptions()
    """Ask the head server at this address instead, as in `+head_server.port=11000`."""
    wait_s: float = Field(default=0.0, ge=0)
    """Wait up to so many seconds until every server of this folder's runs is ready; exit code 1 when one is not."""
    longer_than_s: float = Field(default=3.0, ge=0)
    """Tell what has been waited for longer than this."""


def main() -> NoReturn:
    command(status)


def status(argv: list[str]) -> int:
    """Print a table per live run. 0: at least one answers and, with `wait_s`, all servers are ready."""
    if wants_help(argv):
        print(help_text(StatusOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    options = parse_options(argv, StatusOptions, command=COMMAND)
    all_ready = not options.wait_s or asyncio.run(_wait_until_ready(options))
    shown = asyncio.run(_show(_head_urls(options), options))
    return shown if all_ready else EXIT_FAILED


def _head_urls(options: StatusOptions) -> list[str]:
    head, cwd = options.head_server, Path.cwd()
    runs = [] if head.host or head.port else live_runs(cwd)
    return [run.head_url for run in runs] or [find_head(cwd, head.host, head.port)]


async def _wait_until_ready(options: StatusOptions) -> bool:
    """True as soon as there is a run and all its servers are ready, False after `wait_s`.

    Unless an address is given only runs of this folder count: one of another folder, at the default port, may be ready
    long before the one that is waited for has begun.
    """
    named = options.head_server.host or options.head_server.port
    token = options.head_server.token()
    give_up_at = time.monotonic() + options.wait_s
    while time.monotonic() < give_up_at:
        urls = _head_urls(options) if named else [run.head_url for run in live_runs(Path.cwd())]
        with suppress(RequestError):
            states = [each.state for url in urls for each in await fetch_status(url, token=token)]
            if states and set(states) == {"ready"}:
                return True
        await asyncio.sleep(POLL_S)
    return False


async def _show(urls: list[str], options: StatusOptions) -> int:
    code, token = EXIT_FAILED, options.head_server.token()
    for url in urls:
        try:
            statuses = await fetch_status(url, token=token)
        except RequestError as error:
            print(
                f"no running servers found ({error}).\n"
                "Start them in this folder with ng_run, or say where they are: +head_server.host=… +head_server.port=…",
                file=sys.stderr,
            )
            continue
        told = await ask_servers(statuses, token or token_of(url))
        print(f"head server {url}\n\n{_table(statuses, told)}")
        waits = sentences(told, options.longer_than_s)
        if waits:
            print("\n" + "\n".join([f"waiting for more than {options.longer_than_s:g} s:", *waits]))
        code = 0
    return code


def _table(statuses: list[ServerStatus], told: list[Told]) -> str:
    in_flight = {each.status: str(each.report.requests) for each in told if each.report is not None}
    rows = [
        (
            name_of(each),
            KINDS[each.server_type],
            each.state,
            each.url,
            str(each.pid or ""),
            str(each.restarts),
            in_flight.get(each, ""),
            f"{each.memory_bytes / 2**20:.0f} MiB" if each.memory_bytes is not None else "",
            _duration(time.time() - each.started_at) if each.state != "dead" else "",
        )
        for each in statuses
    ]
    return server_table(
        ("server", "kind", "state", "URL", "pid", "restarts", "in flight", "memory", "up"),
        rows,
        optional=("memory", "restarts", "pid", "in flight"),
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
