"""A run of real servers: every endpoint of every one wants the run's token, whichever way they are served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.launch.gym import Gym, running_gym
from nemo_gym.serving.run_token import bearer

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")

OWN_TOKEN = "a-token-of-ones-own"
NAME = "example_session_state_mgmt"


def config_of(**values: object) -> Any:
    """Three kinds of server: one with tools over MCP and two workers, one agent, one model server."""
    block = {"mcp": True, "num_workers": 2, "max_body_bytes": 5000}
    initial = {
        "config_paths": [
            f"resources_servers/{NAME}/configs/{NAME}.yaml",
            "responses_api_models/scripted_model/configs/scripted_model.yaml",
        ],
        NAME: {"resources_servers": {NAME: block}},
        **values,
    }
    parser = GlobalConfigDictParserConfig(
        initial_global_config_dict=initial, skip_load_from_cli=True, skip_load_from_dotenv=True
    )
    return parser.load(ROOT)


async def answers_without_token(gym: Gym) -> dict[str, int]:
    """Status of each route of each worker of each server, by URL."""
    found = {}
    async with httpx.AsyncClient(timeout=60) as http:
        servers = [url for address in gym.directory.values() for url in address.urls]
        assert len(servers) == 4
        for server in servers:
            description = (await http.get(f"{server}/openapi.json", headers=bearer(gym.token))).json()
            paths = [*description["paths"], "/openapi.json", "/docs", "/redoc", "/absent", "/mcp"]
            for path in paths:
                for method in ("GET", "POST", "OPTIONS"):
                    answer = await http.request(method, server + path, content=b"{}")
                    found[f"{method} {server}{path}"] = answer.status_code
        for path in ("/", "/server_instances", "/global_config_dict_yaml", "/server_status", "/absent"):
            found[f"GET {gym.head_url}{path}"] = (await http.get(gym.head_url + path)).status_code
    return found


def is_liveness(asked: str) -> bool:
    return asked.startswith("GET ") and asked.endswith("/")


@pytest.mark.parametrize("in_process", [False, True])
async def test_every_endpoint_but_liveness_wants_the_token(in_process: bool, tmp_path: Path) -> None:
    async with running_gym(config_of(in_process=in_process), cwd=tmp_path) as gym:
        statuses = await answers_without_token(gym)
        closed = {asked: status for asked, status in statuses.items() if not is_liveness(asked)}
        assert len(closed) > 60 and set(closed.values()) == {401}
        assert [status for asked, status in statuses.items() if is_liveness(asked)] == [200] * 5


async def test_an_open_run_answers_everybody(tmp_path: Path) -> None:
    async with running_gym(config_of(open_endpoints=True), cwd=tmp_path) as gym, httpx.AsyncClient(timeout=60) as http:
        servers = [url for address in gym.directory.values() for url in address.urls]
        for url in [f"{gym.head_url}/server_instances", *(f"{server}/metrics" for server in servers)]:
            assert (await http.get(url)).status_code == 200


@pytest.fixture
async def gym_with_own_token(tmp_path: Path) -> AsyncIterator[Gym]:
    async with running_gym(config_of(head_server={"token": OWN_TOKEN}), cwd=tmp_path) as gym:
        yield gym


async def test_a_configured_token_is_the_runs_and_a_body_beyond_the_servers_limit_is_refused(
    gym_with_own_token: Gym,
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    url = gym_with_own_token.directory[NAME].urls[0] + "/verify"
    async with httpx.AsyncClient(headers=bearer(OWN_TOKEN), timeout=60) as http:
        assert (await http.post(url, json={})).status_code == 422
        for body in (b" " * 10_000, pieces()):
            answer = await http.post(url, content=body)
            assert answer.status_code == 413 and "`max_body_bytes`" in answer.text
