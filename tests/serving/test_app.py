"""SimpleServer over ASGI: liveness, metrics, error answers, configuration mistakes, the constructor that tests use."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import SESSION_ID_KEY
from nemo_gym.serving.spec import ServerSpec
from tests.rows import response_saying, row_asking


class NamesConfig(BaseResourcesServerConfig):
    greeting: str
    volume: int = 3


class NamesRequest(BaseVerifyRequest):
    expected: str


class NamesResourcesServer(SimpleResourcesServer):
    config: NamesConfig

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/raise")(self.fail)
        app.post("/who")(self.who)
        return app

    async def seed_session(self, request: Request, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        request.session["name"] = body.model_dump()["name"]
        return BaseSeedSessionResponse()

    async def fail(self) -> None:
        raise RuntimeError("a bug in a tool")

    async def who(self, request: Request) -> dict[str, Any]:
        return {"name": request.session.get("name"), "session": request.session[SESSION_ID_KEY]}

    async def verify(self, body: NamesRequest) -> BaseVerifyResponse:
        right = body.response.output_text == body.expected
        return BaseVerifyResponse(**body.model_dump(), reward=float(right))


def make_client() -> TestClient:
    config = NamesConfig(name="names", greeting="hi")
    server = NamesResourcesServer(config=config, server_client=MagicMock(spec=ServerClient))
    return TestClient(server.setup_webserver())


def spec_with(**settings: Any) -> ServerSpec:
    return ServerSpec(
        name="names",
        server_type="resources_servers",
        implementation="names",
        folder=".",
        entrypoint="app.py",
        settings=settings,
        source="configs/names.yaml",
        directory={},
        run_id="r",
        session_secret="s",
    )


def test_liveness_and_metrics_answer() -> None:
    with make_client() as client:
        assert client.get("/").json() == {"status": "ok"}
        client.post("/who")
        client.post("/no/such/route")
        text = client.get("/metrics").text
    assert 'ng_requests_total{route="/who",status="200"} 1' in text
    assert 'ng_requests_total{route="unknown",status="404"} 1' in text


def test_verify_echoes_unknown_fields_and_gives_the_reward() -> None:
    body = {**row_asking("name?"), "response": response_saying("Ada"), "expected": "Ada", "extra": {"kept": [1]}}
    answer = make_client().post("/verify", json=body).json()
    assert (answer["reward"], answer["extra"], answer["expected"]) == (1.0, {"kept": [1]}, "Ada")


def test_a_stored_result_can_be_verified_again() -> None:
    earlier = {"reward": 0.0, "reward_components": {"x": 0.0}}
    body = {**row_asking("name?"), "response": response_saying("Ada"), "expected": "Ada", **earlier}
    assert make_client().post("/verify", json=body).json()["reward"] == 1.0


def test_verify_refuses_a_row_without_a_field_it_needs() -> None:
    answer = make_client().post("/verify", json={**row_asking("name?"), "response": response_saying("Ada")})
    assert (answer.status_code, answer.json()["error"]["mistakes"]) == (422, ["expected: Field required"])


def test_a_bad_item_gets_one_error_that_names_its_place() -> None:
    body = {**row_asking("x"), "response": response_saying("Ada"), "expected": "Ada"}
    body["response"]["output"].append({"type": "mystery"})
    mistakes = make_client().post("/verify", json=body).json()["error"]["mistakes"]
    assert len(mistakes) == 1 and mistakes[0].startswith("response.output[1].type: `mystery` is no item type")


def test_a_body_that_is_no_json_is_refused() -> None:
    answer = make_client().post("/verify", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "error" in answer.json()


def test_a_handler_that_raises_answers_500_with_its_message_and_keeps_the_session() -> None:
    client = make_client()
    client.post("/seed_session", json={"name": "Ada"})
    answer = client.post("/raise")
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "RuntimeError: a bug in a tool")
    assert client.post("/who").json()["name"] == "Ada"


def test_a_session_made_by_a_request_that_fails_is_not_lost() -> None:
    client = make_client()
    assert client.post("/raise").cookies
    first = client.post("/who").json()["session"]
    assert client.post("/who").json()["session"] == first


def test_a_wrong_configuration_names_file_key_and_nearest_key() -> None:
    with pytest.raises(ConfigError) as caught:
        NamesResourcesServer.from_spec(spec_with(greting="hi", volume="loud"))
    lines = [str(problem) for problem in caught.value.problems]
    prefix = "configs/names.yaml: `names.resources_servers.names."
    assert sorted(lines) == [
        f"{prefix}greeting`: Field required",
        f"{prefix}greting`: no such key; did you mean `greeting`?",
        f"{prefix}volume`: Input should be a valid integer, unable to parse string as an integer",
    ]


async def test_a_server_without_verify_does_not_start() -> None:
    class Empty(SimpleResourcesServer):
        pass

    with pytest.raises(LaunchError, match=r"Empty must define `verify\(\)`"):
        await Empty.from_spec(spec_with()).startup()


def test_aggregate_metrics_uses_the_servers_own_metrics() -> None:
    class Own(NamesResourcesServer):
        def compute_metrics(self, tasks: list[list[dict[str, Any]]]) -> dict[str, Any]:
            return {"tasks": len(tasks)}

        def get_key_metrics(self, agent_metrics: dict[str, Any]) -> dict[str, Any]:
            return {"tasks": agent_metrics["tasks"]}

    client = TestClient(Own.from_spec(spec_with(greeting="x")).setup_webserver())
    rollouts = [{"_ng_task_index": task, "_ng_rollout_index": n, "reward": n} for task in (0, 1) for n in (0, 1)]
    answer = client.post("/aggregate_metrics", json={"verify_responses": rollouts}).json()
    assert answer["key_metrics"] == {"tasks": 2}
    assert answer["agent_metrics"]["mean/reward"] == 0.5


def test_asking_for_metrics_leaves_no_session_behind() -> None:
    server = NamesResourcesServer.from_spec(spec_with(greeting="x"))
    TestClient(server.setup_webserver()).post("/aggregate_metrics", json={"verify_responses": []})
    assert len(server._sessions) == 0


def test_metrics_mode_says_whether_a_server_has_metrics_of_its_own() -> None:
    class OwnKeys(NamesResourcesServer):
        def get_key_metrics(self, agent_metrics: dict[str, Any]) -> dict[str, Any]:
            return {}

    own = TestClient(OwnKeys.from_spec(spec_with(greeting="x")).setup_webserver())
    assert (make_client().get("/metrics_mode").json(), own.get("/metrics_mode").json()) == ("default", "own")


def test_reverify_mode_is_what_the_author_declared() -> None:
    assert make_client().get("/reverify_mode").json() == "unknown"
