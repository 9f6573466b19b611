"""Unit tests of pinned_model, in the style of its neighbours."""

from unittest.mock import AsyncMock, MagicMock

from fastapi.testclient import TestClient
from pytest import MonkeyPatch
from responses_api_models.pinned_model.app import PinnedModel, PinnedModelConfig

from nemo_gym.openai_utils import (
    NeMoGymAsyncOpenAI,
    NeMoGymChatCompletion,
    NeMoGymChatCompletionMessage,
    NeMoGymChoice,
)
from nemo_gym.server_utils import ServerClient


def completion(text: str) -> dict:
    message = NeMoGymChatCompletionMessage(role="assistant", content=text)
    choice = NeMoGymChoice(index=0, finish_reason="stop", message=message)
    return NeMoGymChatCompletion(id="c", choices=[choice], created=0, model="m", object="chat.completion").model_dump()


def make(urls: list[str], **settings) -> PinnedModel:
    config = PinnedModelConfig(
        host="0.0.0.0", port=8081, base_url=urls, api_key="k", model="m", entrypoint="", name="", **settings
    )
    return PinnedModel(config=config, server_client=MagicMock(spec=ServerClient))


class TestApp:
    def test_chat_completions(self, monkeypatch: MonkeyPatch) -> None:
        server = make(["http://a/v1"])
        client = TestClient(server.setup_webserver())
        mock = AsyncMock(return_value=completion("hi"))
        server._clients = [MagicMock(spec=NeMoGymAsyncOpenAI)]
        server._clients[0].create_chat_completion = mock
        got = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "hello"}]})
        assert got.status_code == 200 and got.json()["choices"][0]["message"]["content"] == "hi"
        assert mock.call_args.kwargs == {"messages": [{"role": "user", "content": "hello"}], "model": "m"}

    def test_a_session_stays_with_one_client(self, monkeypatch: MonkeyPatch) -> None:
        server = make(["http://a/v1", "http://b/v1"], return_token_id_information=True)
        asked = []

        async def answer(self: NeMoGymAsyncOpenAI, **kwargs) -> dict:
            asked.append(self.base_url)
            return completion("hi")

        monkeypatch.setattr(NeMoGymAsyncOpenAI, "create_chat_completion", answer)
        app = server.setup_webserver()
        one, two = TestClient(app), TestClient(app)
        for client in (one, two, one, two, two):
            item = client.post("/v1/responses", json={"input": "hello"}).json()["output"][0]
            assert item["generation_token_ids"] == [3]
        assert asked == ["http://a/v1", "http://b/v1", "http://a/v1", "http://b/v1", "http://b/v1"]
        assert server.asked == 5
