"""calendar: a conversation about appointments; the reward says whether the last calendar is the one asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from nemo_gym.base_resources_server import (
    BaseMultiRewardVerifyResponse,
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    ReverifyMode,
    SimpleResourcesServer,
)
from nemo_gym.schemas.responses import EasyInputMessage, InputItem, OutputItem, OutputMessage
from resources_servers.calendar.strategies import Strategy, score
from resources_servers.calendar.task import CalendarTask
from resources_servers.calendar.verifier import Verdict


class CalendarConfig(BaseResourcesServerConfig):
    strategy: Strategy = Strategy.FINAL_STATE
    """How an episode's assistant turns become one reward."""
    score_history: bool = False
    """Whether `per_turn` and `cumulative` also score the assistant turns that stand in the row's own conversation."""


class CalendarVerifyRequest(CalendarTask, BaseVerifyRequest):
    pass


class CalendarVerifyResponse(CalendarVerifyRequest, BaseMultiRewardVerifyResponse):
    verdict: Verdict
    """What the first mistake in the last calendar is, or `correct`."""
    mistakes: list[str]
    """Each mistake in the last calendar, in words."""


class CalendarResourcesServer(SimpleResourcesServer):
    config: CalendarConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def verify(self, body: CalendarVerifyRequest) -> CalendarVerifyResponse:
        conversation = body.responses_create_params.input
        history = assistant_turns(conversation if isinstance(conversation, list) else [])
        answers = assistant_turns(body.response.output)
        if self.config.score_history:
            history, answers = [], history + answers
        result = score(body, history, answers, self.config.strategy)
        return CalendarVerifyResponse.model_validate(
            body.model_dump(exclude_unset=True)
            | {
                "reward": result.reward,
                "reward_components": result.components,
                "verdict": result.grade.verdict,
                "mistakes": [mistake.text for mistake in result.grade.mistakes],
            }
        )


def assistant_turns(items: Iterable[InputItem | OutputItem]) -> list[str]:
    """What the assistant said last before each user message, and at the end."""
    turns: list[str] = []
    said: str | None = None
    for item in items:
        if isinstance(item, OutputMessage):
            said = item.text
        elif isinstance(item, EasyInputMessage) and item.role == "assistant":
            said = plain_text(item)
        elif isinstance(item, EasyInputMessage) and item.role == "user" and said is not None:
            turns.append(said)
            said = None
    return turns if said is None else [*turns, said]


def plain_text(message: EasyInputMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part["text"] for part in message.content if isinstance(part.get("text"), str))


if __name__ == "__main__":
    CalendarResourcesServer.run_webserver()
