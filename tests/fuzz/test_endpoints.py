"""Every endpoint of every component answers whatever it is sent: in time, and never with 5xx."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.bodies import NO_JSON, TEXTS, VALUES, spoiled
from tests.fuzz.fuzzed_server import COMPONENTS, ENVIRONMENTS, ROOT, FuzzedServer, fuzzed

METHODS = ("get", "post", "put", "delete", "patch")

_ADD = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}, "strict": False}
_SCHEMA = {"name": "sum", "schema": {"type": "object"}}
MODEL_CALLS: list[dict[str, Any]] = [
    {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "2 + 2?"}]}],
        "instructions": "Be brief.",
        "tools": [{"type": "function", **_ADD}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]},
        "text": {"format": {"type": "json_schema", **_SCHEMA}, "verbosity": "low"},
        "reasoning": {"effort": "low"},
        "include": ["message.output_text.logprobs"],
        "metadata": {"extra_body": '{"top_k": 5}', "chat_template_kwargs": '{"enable_thinking": false}'},
        "max_output_tokens": 5,
    },
    *(
        {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
            "tools": [{"type": "function", "function": _ADD}],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "response_format": {"type": "json_schema", "json_schema": _SCHEMA},
            "stop": ["\n"],
            "stream": stream,
        }
        for stream in (False, True)
    ),
]
"""Requests to a model server with much in them."""

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")


def routes_of(server: FuzzedServer) -> list[tuple[str, str]]:
    """Method and path of all that the server says it has."""
    return [(method, path) for path, ways in server.openapi["paths"].items() for method in ways if method in METHODS]


def real_bodies(name: str) -> list[Any]:
    """Task rows and a body of /verify."""
    folder = ROOT / "resources_servers" / (name if name in ENVIRONMENTS else "example_multi_step")
    rows = [json.loads(line) for line in (folder / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()]
    verify = json.loads((folder / "data" / "example_verify.json").read_text(encoding="utf-8"))
    requests = [row["responses_create_params"] for row in rows]
    verified = {"verify_responses": [{**verify, "reward": 1.0}] * 2}
    return [*rows, verify, verify, *requests, {**requests[0], "stream": True}, *MODEL_CALLS, verified]


@pytest.mark.parametrize("name", COMPONENTS)
def test_nothing_that_is_sent_brings_a_server_down(name: str, cases: settings) -> None:
    with fuzzed(name) as server:
        send_bodies(server, cases)
        send_paths_and_headers(server, cases)
        send_deep_bodies(server)


def send_bodies(server: FuzzedServer, cases: settings) -> None:
    """Spoiled bodies to every route, several in one session, some of them in the middle of an episode."""
    routes, real = routes_of(server), real_bodies(server.name)

    @cases
    @given(st.data())
    def ask_in_one_session(data: st.DataObject) -> None:
        headers = {"x-session-id": data.draw(st.sampled_from(["one", "two"]))}
        if data.draw(st.booleans()):
            for path in ("/seed_session", "/reset"):
                server.ask("POST", path, orjson.dumps(real[0]), headers)
        for _ in range(data.draw(st.integers(1, 4))):
            method, path = data.draw(st.sampled_from(routes))
            body = data.draw(st.one_of(spoiled(real), VALUES.map(lambda value: json.dumps(value).encode()), NO_JSON))
            server.ask_sensibly(method, path, body, headers)

    ask_in_one_session()


def send_deep_bodies(server: FuzzedServer) -> None:
    """Bodies nested as deeply as may be read, which is deeper than may be written."""
    paths = [path.replace("{rollout_id}", "r") for method, path in routes_of(server) if method == "post"]
    rows, verify = real_bodies(server.name)[:1], real_bodies(server.name)[5]
    for deep in (b"[" * 1000 + b"]" * 1000, b'{"a":' * 1000 + b"1" + b"}" * 1000):
        for body in (*rows, verify, *MODEL_CALLS, {"verify_responses": [{"reward": 1.0, "deep": "DEEP"}]}):
            deeper = orjson.dumps(
                body | {"deep": "DEEP", "tools": [{**_ADD, "type": "function", "parameters": "DEEP"}]}
            )
            for path in paths:
                server.ask_sensibly("post", path, deeper.replace(b'"DEEP"', deep), {"x-session-id": "deep"})


def send_paths_and_headers(server: FuzzedServer, cases: settings) -> None:
    """Real bodies with URLs, methods and headers that nobody expects."""
    routes, real = routes_of(server), real_bodies(server.name)
    names = ["x-session-id", "cookie", "x-ng-rollout-id", "content-type", "idempotency-key", "accept", "host", "origin"]
    in_header = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
    cookies = in_header.map(lambda text: f"ng_session_{server.name}={text}")

    @cases
    @given(st.data())
    def ask_oddly(data: st.DataObject) -> None:
        method, path = data.draw(st.sampled_from(routes))
        path = path.replace("{rollout_id}", quote(data.draw(TEXTS)[:200], safe=""))
        if data.draw(st.booleans()):
            path += quote(data.draw(TEXTS)[:200], safe="/.")
        query = data.draw(st.dictionaries(TEXTS, TEXTS, max_size=2))
        path += f"?{urlencode(query)}"[:4000] if query else ""
        headers = data.draw(st.dictionaries(st.sampled_from(names), st.one_of(in_header, cookies), max_size=4))
        method = data.draw(st.sampled_from([method, method, "HEAD", "OPTIONS", "PUT", "DELETE"]))
        server.ask_sensibly(method, path, orjson.dumps(data.draw(st.sampled_from(real))), headers)

    ask_oddly()
