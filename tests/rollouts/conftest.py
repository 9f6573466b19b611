"""What the collection tests share: a tiny agent in a process of its own, and task files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerAddress

TINY_AGENT_SETTINGS = {"broken_metrics": False, "metrics_mode": "own", "num_agents": 1}
WriteRows = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture(scope="session")
def agent_url() -> Iterator[str]:
    script = Path(__file__).parent / "tiny_agent.py"
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    yield process.stdout.readline().strip()
    process.stdin.close()  # which it takes for its parent's end
    process.wait(10)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
async def client(agent_url: str, http: HttpClient) -> ServerClient:
    """Reaches the tiny agent by two names; `dead_agent` is nobody."""
    await http.request("POST", agent_url + "/set", json=TINY_AGENT_SETTINGS)
    urls = {"tiny_agent": agent_url, "other_agent": agent_url, "dead_agent": "http://127.0.0.1:9"}
    return ServerClient(
        {
            name: ServerAddress(name=name, server_type="responses_api_agents", implementation="tiny", urls=(url,))
            for name, url in urls.items()
        },
        http,
    )


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes rows (each gets an input) as a task file."""

    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "tasks.jsonl"
        default = {"responses_create_params": {"input": "hi"}}
        path.write_bytes(b"".join(orjson.dumps(default | row) + b"\n" for row in rows))
        return path

    return write
