"""Unit tests of answer_judge, in the style of its neighbours."""

from unittest.mock import AsyncMock, MagicMock

from pytest import approx, fixture, raises
from resources_servers.answer_judge.app import (
    AnswerJudgeConfig,
    AnswerJudgeServer,
    AnswerJudgeVerifyRequest,
)

from nemo_gym.config_types import ModelServerRef
from nemo_gym.openai_utils import (
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
    NeMoGymResponseOutputMessage,
    NeMoGymResponseOutputText,
)
from nemo_gym.server_utils import ServerClient


def message(text: str) -> NeMoGymResponseOutputMessage:
    return NeMoGymResponseOutputMessage(
        id="msg_1",
        content=[NeMoGymResponseOutputText(annotations=[], text=text, type="output_text")],
        role="assistant",
        status="completed",
        type="message",
    )


def response(text: str) -> NeMoGymResponse:
    return NeMoGymResponse(
        id="resp_1",
        created_at=0.0,
        model="dummy",
        object="response",
        output=[message(text)],
        parallel_tool_calls=False,
        tool_choice="none",
        tools=[],
    )


class TestApp:
    @fixture
    def config(self) -> AnswerJudgeConfig:
        return AnswerJudgeConfig(
            host="0.0.0.0",
            port=8080,
            entrypoint="",
            name="",
            judge_model_server=ModelServerRef(type="responses_api_models", name="judge"),
            judge_responses_create_params=NeMoGymResponseCreateParamsNonStreaming(input=[]),
            check_twice_swap=True,
        )

    def server(self, config: AnswerJudgeConfig, *verdicts: str) -> AnswerJudgeServer:
        server_client = MagicMock(spec=ServerClient)
        answers = []
        for verdict in verdicts:
            answer = MagicMock()
            answer.json = AsyncMock(return_value=response(verdict).model_dump())
            answers.append(answer)
        server_client.post = AsyncMock(side_effect=answers)
        return AnswerJudgeServer(config=config, server_client=server_client)

    def request(self, expected: str | None = "4") -> AnswerJudgeVerifyRequest:
        return AnswerJudgeVerifyRequest(
            responses_create_params=NeMoGymResponseCreateParamsNonStreaming(
                input=[{"role": "user", "content": "What is 2 + 2?"}], parallel_tool_calls=False, temperature=0
            ),
            response=response("four"),
            expected_answer=expected,
        )

    async def test_equal_both_ways(self, config) -> None:
        server = self.server(config, "They are [[equal]]", "[[equal]]")
        result = await server.verify(self.request())
        assert result.reward == approx(1.0)
        assert len(result.judge_evaluations) == 2
        asked = server.server_client.post.call_args_list[0].kwargs
        assert (asked["server_name"], asked["url_path"]) == ("judge", "/v1/responses")
        assert "second=four" in asked["json"].input[0].content

    async def test_unequal_the_second_time(self, config) -> None:
        result = await self.server(config, "[[equal]]", "[[different]]").verify(self.request())
        assert result.reward == approx(0.0)
        assert result.judge_evaluations[1].verdict_label is None

    async def test_no_expected_answer(self, config) -> None:
        with raises(ValueError):
            await self.server(config).verify(self.request(expected=None))

    async def test_the_template_in_the_config_is_not_changed(self, config) -> None:
        await self.server(config, "[[equal]]", "[[equal]]").verify(self.request())
        assert config.judge_responses_create_params.input == []
