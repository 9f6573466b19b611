"""All checks of one environment, from its files to whole episodes, with what they found in plain sentences."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_gym.config.component import Component
from nemo_gym.env_checker.episodes import EpisodeChecks
from nemo_gym.env_checker.layout import WARNING, check_files, check_prepare, read_example_rows, server_settings
from nemo_gym.env_checker.requests import check_requests
from nemo_gym.env_checker.server import CheckedServer
from nemo_gym.env_checker.turns import check_turns
from nemo_gym.errors import NemoGymError, ReferencePolicyError
from nemo_gym.reference_policies import Policy, load_policies

__all__ = ["WARNING", "CheckReport", "check_environment", "examine_environment"]


@dataclass
class CheckReport:
    """What was found in one environment."""

    problems: list[str] = field(default_factory=list)
    """One plain sentence each; those that begin with `WARNING` are advice."""
    mean_rewards: dict[str, float] = field(default_factory=dict)
    """By reference policy, over the example rows."""


def check_environment(folder: Path) -> list[str]:
    """The problems of the resources server in `folder`, one plain sentence each; empty if there are none.

    Nothing is sent outside this process, except that `prepare.py` is run in one of its own. Must not be called from a
    running event loop.
    """
    return examine_environment(folder).problems


def examine_environment(folder: Path) -> CheckReport:
    """As `check_environment`, with the reference policies' rewards."""
    folder = folder.resolve()
    report = CheckReport(check_files(folder))
    if not (folder / "app.py").is_file() or not (folder / "data" / "example.jsonl").is_file():
        return report
    rows, problems = read_example_rows(folder)
    report.problems += problems
    settings, problems = server_settings(folder)
    report.problems += problems
    component = Component.at(folder)
    root = str(component.root if component else folder.parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)  # as for the server's own process: `from resources_servers.<name>.verifier import ...`
    try:
        server = CheckedServer(folder, settings)
    except NemoGymError as error:
        report.problems.append(f"app.py: the server cannot be made: {error}")
        return report
    except Exception as error:  # noqa: BLE001 - app.py is the author's code and may raise anything
        report.problems.append(f"app.py: cannot be imported: {type(error).__name__}: {error}")
        return report
    verify_file = folder / "data" / "example_verify.json"
    verify_text = verify_file.read_text(encoding="utf-8") if verify_file.is_file() else None
    policies: dict[str, Policy] = {}
    if (folder / "policies.py").is_file():
        try:
            policies = load_policies(folder / "policies.py")
        except ReferencePolicyError as error:
            report.problems.append(str(error))
    asyncio.run(_check_running(server, rows, verify_text, policies, report))
    report.problems += check_prepare(folder)
    return report


async def _check_running(
    server: CheckedServer,
    rows: list[dict[str, Any]],
    verify_text: str | None,
    policies: Mapping[str, Policy],
    report: CheckReport,
) -> None:
    async with server.gym:
        report.problems += await check_requests(server, verify_text, rows)
        if await server.offers("/reset") and await server.offers("/step"):
            report.problems += await check_turns(server, rows)
        if rows and policies:
            episodes = EpisodeChecks(server, policies, rows)
            report.problems += await episodes.run()
            report.mean_rewards = episodes.mean_rewards()
