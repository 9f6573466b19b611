"""Whether as many rollouts can be in flight as were asked for: each needs connections, which are open files."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.serving.open_files import allow_open_files

logger = logging.getLogger(__name__)

SPARE_FILES = 64
"""Beside connections: libraries, logs, the files of the collection."""
AGENTS_CONNECTIONS = 2
"""That an agent holds for each rollout in flight, at least: the collector's, and one to whom it waits for."""


def check_open_files(workers: Mapping[str, int], num_parallel: int) -> None:
    """Raise `ConfigError` where this process may not have a connection for each rollout in flight.

    `workers`: how many each agent has. Where they may be too few for the agent, supposing that servers may open as many
    files as this process, a warning says so: they may well run elsewhere.
    """
    limit = allow_open_files()
    most = limit - SPARE_FILES
    if num_parallel > most:
        message = (
            f"{num_parallel} rollouts in flight need as many connections, and this process may have {limit} open files;"
            f" raise that limit (`ulimit -Hn`, limits.conf), or give at most {most}"
        )
        raise ConfigError([ConfigProblem("command line", "num_samples_in_parallel", message)])
    for agent, number in workers.items():
        needed = -(-num_parallel * AGENTS_CONNECTIONS // most)
        if number < needed:
            logger.warning(
                "%d rollouts in flight are %d connections in `%s`; a process may have %d open files here: give it"
                " `num_workers: %d`, and the servers that it calls as many",
                num_parallel,
                num_parallel * AGENTS_CONNECTIONS,
                agent,
                limit,
                needed,
            )
