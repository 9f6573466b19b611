"""Single requests: the README's verify body, and wrong bodies and tools, which no server may answer with 5xx."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from nemo_gym.env_checker.server import CheckedServer
from nemo_gym.errors import BadBody
from nemo_gym.serving.http_response import HttpResponse

UNKNOWN_FIELD = "field_of_somebody_else"
UNKNOWN_VALUE = {"kept": [1, "é", None, {"as": 0.5}]}
WRONG_VALUES: tuple[object, ...] = (None, [], {}, True, -1, 1.5, "", "x" * 10_000, "\u0000", 2**63, [[[]]], {"a": None})


async def check_requests(server: CheckedServer, verify_text: str | None, rows: list[dict[str, Any]]) -> list[str]:
    """Requests outside any episode. `verify_text` is what `data/example_verify.json` holds, if it is there."""
    problems = await _check_verify_example(server, verify_text) if verify_text is not None else []
    problems += await _check_wrong_verify(server, rows)
    problems += await _check_tools(server, rows)
    return problems


async def _check_verify_example(server: CheckedServer, text: str) -> list[str]:
    name = "data/example_verify.json"
    try:
        body = json.loads(text)
    except ValueError as error:
        return [f"{name}: no JSON: {error}"]
    if not isinstance(body, dict) or not {"responses_create_params", "response"} <= body.keys():
        return [f"{name}: must hold a task row and `response`"]
    body[UNKNOWN_FIELD] = UNKNOWN_VALUE
    cookies: dict[str, str] = {}
    seeded = await server.post("/seed_session", {key: body[key] for key in body if key != "response"}, cookies=cookies)
    if not seeded.ok:
        return [f"{name}: /seed_session answers {seeded.status}: {seeded.text[:300]}"]
    answer = await server.post("/verify", body, cookies=cookies)
    if answer.status != 200:
        return [f"{name}: /verify answers {answer.status}: {answer.text[:300]}"]
    return [f"{name}: {problem}" for problem in _verify_answer_problems(body, answer)]


def _verify_answer_problems(body: dict[str, Any], answer: HttpResponse) -> Iterator[str]:
    try:
        verified = answer.parse()
    except BadBody as error:
        yield f"/verify's answer is no JSON: {error}"
        return
    if not isinstance(verified, dict):
        yield "/verify's answer is no JSON object"
        return
    reward = verified.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
        yield f"`reward` must be a finite number, is {reward!r}"
    missing = [key for key in body if key not in verified]
    if missing:
        yield f"/verify does not echo {', '.join(f'`{key}`' for key in missing)}: return `**body.model_dump()` too"
    elif verified[UNKNOWN_FIELD] != UNKNOWN_VALUE:
        yield f"/verify changes a field that it does not know: {verified[UNKNOWN_FIELD]!r}"
    components = verified.get("reward_components")
    if isinstance(components, dict) and isinstance(reward, int | float):
        total = sum(value for value in components.values() if isinstance(value, int | float))
        if not math.isclose(total, reward, rel_tol=1e-6, abs_tol=1e-6):
            yield f"`reward_components` sum to {total}, `reward` is {reward}"


async def _check_wrong_verify(server: CheckedServer, rows: list[dict[str, Any]]) -> list[str]:
    """Bodies that are no verify request get 4xx; an answer without output gets a reward or 4xx."""
    problems: list[str] = []
    params = {"input": "Hello"}
    empty = {"id": "resp_0", "object": "response", "created_at": 0, "model": "none", "output": []}
    no_type = {**empty, "output": [{"text": "an item without type"}]}
    wrong: list[object] = [None, [], "text", {}, {"responses_create_params": params}]
    wrong += [{"responses_create_params": params, "response": response} for response in (None, {}, no_type)]
    for body in wrong:
        answer = await server.post("/verify", body)
        if not 400 <= answer.status < 500:
            problems.append(f"/verify must refuse {json.dumps(body)[:100]} with 4xx; answers {answer.status}")
    for row in rows[:1]:
        cookies: dict[str, str] = {}
        await server.post("/seed_session", row, cookies=cookies)
        await server.post("/verify", {**row, "response": empty}, cookies=cookies)
    return problems + server.log.take_server_errors()


async def _check_tools(server: CheckedServer, rows: list[dict[str, Any]]) -> list[str]:
    """Each declared tool has a route; unknown tools and wrong arguments get text, never 5xx."""
    problems: list[str] = []
    if (await server.post("/no_such_tool_anywhere", {})).status < 400:
        problems.append("a tool that does not exist must get 4xx")
    tools = {tool["name"]: (tool, row) for row in rows for tool in row["responses_create_params"].get("tools") or ()}
    for name, (tool, row) in tools.items():
        cookies: dict[str, str] = {}
        await server.post("/seed_session", row, cookies=cookies)
        properties = (tool.get("parameters") or {}).get("properties") or {}
        bodies: list[object] = [{}, [], None, {"no_such_argument": 1}]
        bodies += [{argument: value} for argument in properties for value in WRONG_VALUES]
        statuses = [(await server.post(f"/{name}", body, cookies=cookies)).status for body in bodies]
        statuses.append((await server.post(f"/{name}", raw=b'{"broken', cookies=cookies)).status)
        answered_by_step = await server.offers("/step")
        if not answered_by_step and statuses[0] in (404, 405) and set(statuses) <= {404, 405}:
            problems.append(f"rows declare the tool `{name}`, but the server has no `POST /{name}`")
    return problems + server.log.take_server_errors()
