"""`run_cpu` in a real server process: scoring in a child process, whose endless loop ends neither server nor run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nemo_gym.serving.runs import fetch_directory, find_run
from nemo_gym.serving.server_client import ServerClient
from tests.e2e.documents import running
from tests.rows import response_saying, row_asking

pytestmark = pytest.mark.e2e

SCORING = """
def score(text):
    while text == "spin":
        pass
    return float(len(text))
"""
APP = """
from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer
from resources_servers.measure.scoring import score

class Measure(SimpleResourcesServer):
    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        reward = await self.run_cpu(score, body.response.output_text, timeout_s=2)
        return BaseVerifyResponse(**body.model_dump(), reward=reward)

if __name__ == "__main__":
    Measure.run_webserver()
"""


async def verify(cwd: Path, *answers: str) -> list[tuple[int, float | None]]:
    """Status and reward of each answer, asked for one after another."""
    head_url, token = find_run(cwd)
    client = ServerClient(await fetch_directory(head_url), token=token)
    found = []
    for text in answers:
        answer = await client.post("measure", "/verify", {**row_asking("x"), "response": response_saying(text)})
        found.append((answer.status, answer.parse().get("reward")))
    await client.close()
    return found


def test_an_endless_verifier_is_stopped_and_the_next_is_scored(tmp_path: Path) -> None:
    folder = tmp_path / "resources_servers" / "measure"
    folder.mkdir(parents=True)
    (folder / "scoring.py").write_text(SCORING)
    (folder / "app.py").write_text(APP)
    (tmp_path / "measure.yaml").write_text("measure:\n  resources_servers:\n    measure: {entrypoint: app.py}\n")
    with running("ng_run +config_paths=[measure.yaml]", tmp_path):
        assert asyncio.run(verify(tmp_path, "abc", "spin", "abcd")) == [(200, 3.0), (500, None), (200, 4.0)]
