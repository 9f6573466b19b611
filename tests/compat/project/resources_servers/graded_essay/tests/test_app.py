"""Unit tests of graded_essay, in the style of its neighbours."""

from pathlib import Path
from unittest.mock import AsyncMock, MagicMock

import pytest
from resources_servers.graded_essay.app import GradedEssayConfig, GradedEssayServer, GradedEssayVerifyRequest

from nemo_gym.config_types import ModelServerRef
from nemo_gym.judge import JudgeError
from nemo_gym.openai_utils import NeMoGymResponse
from nemo_gym.server_utils import ServerClient


def make_server(*judge_texts: str) -> GradedEssayServer:
    config = GradedEssayConfig(
        host="0.0.0.0",
        port=8080,
        entrypoint="",
        name="",
        judge_model_server=ModelServerRef(type="responses_api_models", name="judge"),
        judge_prompt_config=str(Path(__file__).parents[1] / "prompts" / "marks.yaml"),
    )
    server = GradedEssayServer(config=config, server_client=MagicMock(spec=ServerClient))
    answers = [MagicMock(ok=True, status=200, json=AsyncMock(return_value=response(text))) for text in judge_texts]
    server.server_client.post.side_effect = answers
    return server


def response(text: str) -> dict:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": content}
    return {"id": "r", "created_at": 0, "model": "m", "object": "response", "output": [item] if text else []}


def request(essay: str) -> GradedEssayVerifyRequest:
    return GradedEssayVerifyRequest(
        responses_create_params={"input": "write"}, response=NeMoGymResponse(**response(essay)), topic="rain"
    )


class TestApp:
    async def test_marks_become_the_reward(self) -> None:
        server = make_server("marks: 7")
        assert (await server.verify(request("It rains."))).reward == 0.7
        sent = server.server_client.post.call_args.kwargs["json"]
        assert [item["content"] for item in sent["input"]] == [
            'You mark essays. Answer as in {"marks": 7}, but without the braces.',
            "Topic: rain\nEssay: It rains.",
        ]

    async def test_an_unreadable_verdict_is_asked_for_again(self) -> None:
        assert (await make_server("very good!", "marks: 9").verify(request("It rains."))).marks == 9

    async def test_no_verdict_is_no_reward(self) -> None:
        with pytest.raises(JudgeError):
            await make_server("a", "b", "c").verify(request("It rains."))
        with pytest.raises(JudgeError):
            await make_server().verify(request(""))
