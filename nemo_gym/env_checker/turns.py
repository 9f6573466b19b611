"""Requests that do not fit an episode's state or shape: a server with turns must refuse them, and free its sessions."""

from __future__ import annotations

import json
from typing import Any

from nemo_gym.env_checker.server import CheckedServer

EMPTY_RESPONSE = {"id": "resp_0", "object": "response", "created_at": 0, "model": "none", "output": []}
MOST_STEPS = 200
"""An environment that lets silence go on for longer has no limit of its own."""


async def check_turns(server: CheckedServer, rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with `/reset` and `/step` of a server that has them."""
    problems: list[str] = []
    wrong: tuple[object, ...] = (None, [], {}, {"responses_create_params": {"input": 5}})
    for body in wrong:
        answer = await server.post("/reset", body)
        if not 400 <= answer.status < 500:
            problems.append(f"/reset must refuse {json.dumps(body)} with 4xx; answers {answer.status}")
    for row in rows[:1]:
        silent = {**row, "response": EMPTY_RESPONSE}
        if not 400 <= (await server.post("/step", silent)).status < 500:
            problems.append("/step without /reset before it must be refused with 4xx")
        problems += await _check_silence(server, row, silent)
    return problems + server.log.take_server_errors()


async def _check_silence(server: CheckedServer, row: dict[str, Any], silent: dict[str, Any]) -> list[str]:
    """A policy that says nothing comes to an end, after which no step is taken."""
    cookies: dict[str, str] = {}
    await server.post("/reset", row, cookies=cookies)
    for body in (None, {}, {**row, "response": None}):
        answer = await server.post("/step", body, cookies=cookies)
        if not 400 <= answer.status < 500:
            return [f"/step must refuse {json.dumps(body)[:100]} with 4xx; answers {answer.status}"]
    for _ in range(MOST_STEPS):
        answer = await server.post("/step", silent, cookies=cookies)
        if not answer.ok:
            return [f"/step with an empty answer of the model answers {answer.status}: {answer.text[:200]}"]
        step = answer.parse()
        if step["terminated"] or step["truncated"]:
            after = await server.post("/step", silent, cookies=cookies)
            await server.post("/close", {}, cookies=cookies)
            return [] if 400 <= after.status < 500 else ["/step after the end of an episode must be refused with 4xx"]
    return [f"{MOST_STEPS} turns without an answer do not end the episode: give it a limit (`max_turns`)"]
